"""`springtide audit` and `springtide windows` on a real broker: topics with planted faults, and with none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from local_stack.command import main
from springtide.contracts.codec import encode
from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.errors import ExitCode
from springtide.contracts.events import AnyEvent, Tick
from springtide.contracts.samples import Sample
from springtide.contracts.topics import DEAD_LETTER, EVENTS, SAMPLES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer
from tests.oracles.batch_join import batch_join
from tests.oracles.streams import HOUR, LABELS, disorder, make_events, with_ticks

SEED = 21


def send(kafka: KafkaConfig, logs: dict[int, list[AnyEvent]], rows: list[Sample], letters: list[DeadLetter]) -> None:
    """Write both topics as producers and the joiner would have."""
    producer = make_producer(kafka)
    for partition, events in logs.items():
        for event in events:
            producer.send(kafka.topic(EVENTS.name), key=b"u", value=encode(event), partition=partition)
    for row in rows:
        producer.send(kafka.topic(SAMPLES.name), key=row.request_id.encode(), value=encode(row))
    for letter in letters:
        producer.send(kafka.topic(DEAD_LETTER.name), value=encode(letter))
    producer.flush()
    producer.close()


def call(kafka: KafkaConfig, verb: str, *flags: str) -> int:
    own = ("--bootstrap", kafka.bootstrap, "--set", f"kafka.topic_prefix={kafka.topic_prefix}")
    return main([verb, "--config", "config/base.toml", *own, *flags])


def make_logs() -> tuple[list[AnyEvent], dict[int, list[AnyEvent]]]:
    events = make_events(SEED, slates=150, users=20)
    logs = {}
    for number in range(2):
        part = [event for event in events if int(event.user_id[1:]) % 2 == number]
        logs[number] = with_ticks(disorder(part, SEED), number, every_ms=HOUR, until_ms=12 * 24 * HOUR)
    return events, logs


def test_the_audit_names_what_was_planted(
    kafka_config: KafkaConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print(f"seed {SEED}")
    events, logs = make_logs()
    outlier = Tick(
        event_id="x", user_id="", event_time_ms=events[-1].event_time_ms + 900 * 24 * HOUR, producer="t", partition=0
    )
    logs[0].insert(10, outlier)
    letter = DeadLetter(
        reason="outlier_time", detail="", topic="events", partition=0, offset=10, key=b"", value=encode(outlier)
    )
    rows = {row.row_id: row for row in batch_join(events, LABELS)}
    wrong, gone = sorted(rows)[5], sorted(rows)[9]
    rows[wrong] = msgspec.structs.replace(rows[wrong], arm="nobody's")
    del rows[gone]
    extra = msgspec.structs.replace(rows[wrong], row_id="ghost:final", request_id="ghost")
    send(kafka_config, logs, [*rows.values(), extra], [letter, letter])
    report_file = tmp_path / "audit.json"
    assert call(kafka_config, "audit", "--to-end", "--json", str(report_file)) == ExitCode.ROWS_DIFFER
    report: dict[str, Any] = json.loads(report_file.read_text())
    assert {(found["kind"], found["row_id"]) for found in report["differences"]} == {
        ("wrong", wrong), ("missing", gone), ("unexpected", "ghost:final"),
    }  # fmt: skip
    assert report["set_aside"] == {"outlier_time": 1, "undecodable": 0}
    said = capsys.readouterr().out
    assert f"wrong: {wrong}" in said
    assert "arm: expected control, got nobody's" in said


def test_the_audit_of_right_rows_ends_well_and_of_none_does_not(kafka_config: KafkaConfig) -> None:
    events, logs = make_logs()
    assert call(kafka_config, "audit", "--to-end") == ExitCode.NOTHING_JUDGED
    send(kafka_config, logs, batch_join(events, LABELS), [])
    assert call(kafka_config, "audit", "--to-end") == ExitCode.OK
    begin = str(events[len(events) // 2].event_time_ms)
    assert call(kafka_config, "audit", "--to-end", "--from", begin, "--slice", "6h") == ExitCode.OK
    # No joiner has committed anything, so without --to-end there is nothing to hold it to.
    assert call(kafka_config, "audit") == ExitCode.NOTHING_JUDGED


def test_windows_are_proposed_from_the_topic(
    kafka_config: KafkaConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, logs = make_logs()
    send(kafka_config, logs, [], [])
    picture, result = tmp_path / "delays.svg", tmp_path / "windows.json"
    flags = ("--catch", "0.9", "--svg", str(picture), "--json", str(result))
    assert call(kafka_config, "windows", *flags) == ExitCode.OK
    said = capsys.readouterr().out
    assert "[labels]" in said
    assert 'attribution = { click = "' in said
    tasks = json.loads(result.read_text())["tasks"]
    assert tasks["click"]["attribution"]["share"] >= 0.9
    assert picture.read_text().startswith("<svg")
