"""The real joiner on a real broker: its rows are the batch join's."""

from pathlib import Path

from springtide.runtime.config import KafkaConfig
from tests.integration.streaming.traffic import is_done, make_traffic
from tests.integration.streaming.worker_process import (
    StreamProcess,
    read_rows,
    send_events,
    wait_until,
)
from tests.oracles.batch_join import batch_join, compare
from tests.oracles.streams import LABELS

JOINER = ("streaming.role=joiner", "joiner.trigger_records=50", "joiner.trigger_every=20m")


def test_rows_on_the_broker_equal_the_batch_join(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    events, sent = make_traffic(1, slates=200)
    send_events(kafka_config, sent)
    with StreamProcess(kafka_config, tmp_path, *JOINER) as process:
        process.wait_ready()
        group = f"{kafka_config.topic_prefix}springtide-joiner"
        wait_until(lambda: process.alive() and is_done(kafka_config, sent, group), "all to be joined", process.log)
        samples = process.metrics()
        assert process.stop() == 0
    differences = compare(read_rows(kafka_config), batch_join(events, LABELS))
    assert not differences, differences
    assert differences.repeated == 0
    into, final = (samples[f'springtide_join_slates_total{{outcome="{name}"}}'] for name in ("in", "final"))
    assert into == final + samples['springtide_join_slates_total{outcome="dropped"}'] == 200
