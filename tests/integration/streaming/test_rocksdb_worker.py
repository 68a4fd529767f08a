"""The joiner with its entries on disk: killed, stopped in good order, and its rows still the batch join's."""

from pathlib import Path

from springtide.contracts.events import AnyEvent
from springtide.runtime.config import KafkaConfig
from tests.integration.streaming.traffic import is_done, make_traffic
from tests.integration.streaming.worker_process import StreamProcess, count_of, read_rows, send_events, wait_until
from tests.oracles.batch_join import batch_join, compare
from tests.oracles.streams import LABELS

JOINER = (
    "streaming.role=joiner",
    "joiner.trigger_records=50",
    "joiner.trigger_every=20m",
    "streaming.store=rocksdb://",
)
DISTRUST = "was not closed in good order"


def _part(sent: dict[int, list[AnyEvent]], number: int) -> dict[int, list[AnyEvent]]:
    """Cut off one of three equal parts."""
    return {
        partition: part[number * len(part) // 3 : (number + 1) * len(part) // 3] for partition, part in sent.items()
    }


def test_disk_is_believed_after_a_clean_stop_and_not_after_a_kill(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    events, sent = make_traffic(9, slates=240)
    group = f"{kafka_config.topic_prefix}springtide-joiner"
    logs: list[str] = []
    for number in range(3):
        with StreamProcess(kafka_config, tmp_path, *JOINER) as process:
            process.wait_ready()
            before = count_of(kafka_config, "samples")
            send_events(kafka_config, _part(sent, number))
            if number < 2:
                wait_until(
                    lambda before=before: process.alive() and count_of(kafka_config, "samples") > before + 20,  # type: ignore[misc]
                    "rows", process.log,
                )  # fmt: skip
            if number == 0:
                assert process.stop() == 0
            elif number == 1:
                process.kill()
            else:
                wait_until(lambda: process.alive() and is_done(kafka_config, sent, group), "the end", process.log)
                assert process.stop() == 0
            logs.append(process.log.read_text())
    assert [DISTRUST in log for log in logs] == [False, False, True]
    assert "after offset -1" not in logs[1]
    assert "after offset -1" not in logs[2]
    differences = compare(read_rows(kafka_config), batch_join(events, LABELS))
    assert not differences, differences
    assert len(list(tmp_path.glob("streaming/joiner/**/*.rocksdb.whole"))) == 2
