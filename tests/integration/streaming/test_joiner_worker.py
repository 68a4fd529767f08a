"""The real joiner on a real broker: its rows are the batch join's, killed or not."""

import random
from pathlib import Path

from springtide.contracts.events import AnyEvent
from springtide.contracts.topics import DEAD_LETTER
from springtide.runtime.config import KafkaConfig
from tests.integration.streaming.traffic import is_done, make_traffic
from tests.integration.streaming.worker_process import (
    StreamProcess,
    count_of,
    read_rows,
    send_events,
    wait_until,
)
from tests.oracles.batch_join import batch_join, compare
from tests.oracles.streams import LABELS

JOINER = ("streaming.role=joiner", "joiner.trigger_records=50", "joiner.trigger_every=20m")


def wait_for_rows(kafka: KafkaConfig, process: StreamProcess, count: int) -> None:
    """Wait until the topic holds so many rows."""
    wait_until(lambda: process.alive() and count_of(kafka, "samples") >= count, f"{count} rows", process.log)


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


def test_a_killed_worker_loses_and_changes_no_row(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    seed, lives = 2, 4
    draw = random.Random(seed)
    events, sent = make_traffic(seed, slates=400)
    group = f"{kafka_config.topic_prefix}springtide-joiner"
    for number in range(lives):
        with StreamProcess(kafka_config, tmp_path, *JOINER) as process:
            process.wait_ready()
            before = count_of(kafka_config, "samples")
            send_events(kafka_config, {partition: _part(part, number, lives) for partition, part in sent.items()})
            if number < lives - 1:
                wait_for_rows(kafka_config, process, before + draw.randrange(1, 40))
                process.kill()
            else:
                wait_until(lambda: process.alive() and is_done(kafka_config, sent, group), "the end", process.log)
                assert process.stop() == 0
    differences = compare(read_rows(kafka_config), batch_join(events, LABELS))
    assert not differences, differences
    assert count_of(kafka_config, DEAD_LETTER.name) > 0


def _part(events: list[AnyEvent], number: int, parts: int) -> list[AnyEvent]:
    """Cut off one of so many equal parts."""
    return events[number * len(events) // parts : (number + 1) * len(events) // parts]


def test_partitions_that_move_between_workers_lose_no_row(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    events, sent = make_traffic(3, slates=400)
    group = f"{kafka_config.topic_prefix}springtide-joiner"
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    halves = [{number: part[: len(part) // 2] for number, part in sent.items()}, {}]
    halves[1] = {number: part[len(part) // 2 :] for number, part in sent.items()}
    send_events(kafka_config, halves[0])
    with StreamProcess(kafka_config, folders[0], *JOINER) as first:
        first.wait_ready()
        wait_for_rows(kafka_config, first, 20)
        with StreamProcess(kafka_config, folders[1], *JOINER) as second:
            second.wait_ready()
            send_events(kafka_config, halves[1])
            wait_for_rows(kafka_config, second, count_of(kafka_config, "samples") + 50)
            first.kill()
            wait_until(lambda: second.alive() and is_done(kafka_config, sent, group), "the end", second.log)
            assert second.stop() == 0
    differences = compare(read_rows(kafka_config), batch_join(events, LABELS))
    assert not differences, differences
