"""The writer as a process on a real broker: killed in the middle, ended cleanly, given nonsense."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from springtide.contracts.codec import decode, encode
from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.features import FEAST_FOLDER, FeatureRow
from springtide.contracts.topics import DAY_MS, DEAD_LETTER, FEATURES
from springtide.feature_join.online import OnlineFeatures
from springtide.feature_join.point_in_time import PointInTimeFeatures
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer, make_producer

T = 20_000 * DAY_MS
USERS = 40
# Three processes import Feast: 10 s on a quiet machine, over a minute on a busy one.
pytestmark = pytest.mark.timeout(900)
CONFIG = Path(__file__).parents[3] / "config" / "base.toml"


class Writer:
    """One run of `python -m feature_store`."""

    def __init__(self, kafka: KafkaConfig, state: Path, log: Path) -> None:
        sets = {
            "kafka.bootstrap": kafka.bootstrap,
            "kafka.topic_prefix": kafka.topic_prefix,
            "process.state_folder": str(state),
            "feature_store.batch_rows": "150",
            "feature_store.batch_every": "50ms",
            "feature_store.compact_files": "4",
        }
        options = [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "feature_store", "--config", str(CONFIG), *options]
        self.log = log
        self._file = log.open("ab")
        self.process = subprocess.Popen(command, stderr=self._file, stdout=self._file)

    def health(self) -> dict[str, Any]:
        """What /health says; its port stands in the log."""
        lines = [line for line in self.log.read_text().splitlines() if "health and metrics on" in line]
        if not lines:
            return {}
        address = json.loads(lines[-1])["message"].rsplit(" ", 1)[1]
        try:
            with urllib.request.urlopen(f"http://{address}/health", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.URLError:
            return {}

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self._file.close()
        return code


@pytest.fixture
def start(kafka_config: KafkaConfig, tmp_path: Path) -> Iterator[Callable[[], Writer]]:
    """Starts writers on one state folder; kills those that a failed test leaves."""
    started: list[Writer] = []

    def begin() -> Writer:
        writer = Writer(kafka_config, tmp_path / "state", tmp_path / f"writer{len(started)}.log")
        started.append(writer)
        return writer

    yield begin
    for writer in started:
        if writer.process.poll() is None:
            writer.end(signal.SIGKILL)


def wait_until(holds: Callable[[], bool], writer: Writer, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert writer.process.poll() is None, writer.log.read_text()
        assert time.monotonic() < deadline, writer.log.read_text()[-3000:]
        time.sleep(0.05)


def send(kafka: KafkaConfig, rows: list[FeatureRow]) -> None:
    producer = make_producer(kafka)
    for row in rows:
        producer.send(kafka.topic(FEATURES.name), key=f"user:{row.entity_id}".encode(), value=encode(row))
    producer.flush()
    producer.close()


def rows_between(first: int, last: int) -> list[FeatureRow]:
    return [
        FeatureRow(
            entity="user", entity_id=f"u{n % USERS}", event_time_ms=T + n * 60_000, values={"clicks_1d": float(n)}
        )
        for n in range(first, last)
    ]


def test_killed_in_the_middle_nothing_is_lost_or_doubled(
    kafka_config: KafkaConfig, start: Callable[[], Writer], tmp_path: Path
) -> None:
    count = 1_500
    send(kafka_config, rows_between(0, count))
    writer = start()
    wait_until(lambda: writer.health().get("rows", 0) > 0, writer)
    writer.end(signal.SIGKILL)
    folder = tmp_path / "state" / FEAST_FOLDER
    half = folder / "offline" / "user_features" / "2024-10-04" / ".000000099.parquet"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"half of a file")

    writer = start()
    reader = OnlineFeatures(folder)
    moment, last = T + count * 60_000, {f"u{n % USERS}": float(n) for n in range(count - USERS, count)}
    wait_until(
        lambda: all(reader.user(user, moment).values.get("clicks_1d") == value for user, value in last.items()), writer
    )
    assert writer.end(signal.SIGTERM) == 0
    assert not half.exists()

    rows = rows_between(0, count)
    asked = pd.DataFrame(
        {
            "row_id": range(count),
            "user_id": [row.entity_id for row in rows],
            "item_id": "none",
            "event_time_ms": [row.event_time_ms + 1 for row in rows],
        }
    )
    joined = PointInTimeFeatures(folder).join(asked)
    assert joined["user_features__clicks_1d"].tolist() == [float(n) for n in range(count)]


def test_a_bad_message_becomes_a_dead_letter_and_the_rest_goes_on(
    kafka_config: KafkaConfig, start: Callable[[], Writer], tmp_path: Path
) -> None:
    producer = make_producer(kafka_config)
    producer.send(kafka_config.topic(FEATURES.name), key=b"user:u1", value=b'{"entity": "shop"}').get(timeout=30)
    producer.close()
    send(kafka_config, rows_between(0, 5))
    writer = start()
    wait_until(lambda: writer.health().get("rows", 0) == 5, writer)
    assert writer.health()["status"].startswith("5 rows stored, newest 20")
    assert writer.end(signal.SIGTERM) == 0
    consumer = make_consumer(kafka_config, [kafka_config.topic(DEAD_LETTER.name)])
    [records] = consumer.poll(timeout_ms=30_000).values()
    consumer.close()
    letter = decode(records[0].value, DeadLetter, where=DEAD_LETTER.name)
    assert (letter.reason, letter.value) == ("undecodable", b'{"entity": "shop"}')
    assert OnlineFeatures(tmp_path / "state" / FEAST_FOLDER).user("u4", T + DAY_MS).values["clicks_1d"] == 4.0
