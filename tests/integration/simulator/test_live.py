"""The live simulator on a real broker: events, ticks, truth, catalogue; and a kill in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.codec import encode
from springtide.contracts.control import Drift
from springtide.contracts.events import Impression, Served, Tick
from springtide.contracts.topics import CONTROL
from springtide.contracts.truth import TruthFault, TruthScenario, TruthSlate
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer
from tests.integration.simulator.conftest import Launch, read_events, read_topic, read_truths


def wait_until(true: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_steps(checkpoint: Path, virtual_ms: int) -> None:
    wait_until(lambda: checkpoint.exists() and msgspec.json.decode(checkpoint.read_bytes())["now_ms"] >= virtual_ms)


def test_a_story_is_told_whole(launch: Launch, kafka_config: KafkaConfig, tmp_path: Path) -> None:
    process = launch('simulator.policy="random"')
    assert process.wait(timeout=120) == 0, (tmp_path / "simulator.log").read_text()[-2000:]

    events = read_events(kafka_config)
    served = {event.request_id for _, event in events if isinstance(event, Served)}
    shown = {event.request_id for _, event in events if isinstance(event, Impression)}
    assert len(served) > 100
    assert shown == served

    users: dict[str, set[int]] = {}
    for partition, event in events:
        if isinstance(event, Tick):
            assert event.partition == partition
        else:
            users.setdefault(event.user_id, set()).add(partition)
    assert all(len(partitions) == 1 for partitions in users.values())

    truths = read_truths(kafka_config)
    bots = {truth.detail for truth in truths if isinstance(truth, TruthFault) and truth.kind == "bot"}
    assert {truth.request_id for truth in truths if isinstance(truth, TruthSlate)} == served - bots
    assert {truth.kind for truth in truths if isinstance(truth, TruthScenario)} >= {"lift", "drift", "flash_sale"}

    items = [msgspec.json.decode(record.value, type=CatalogueItem) for record in read_topic(kafka_config, "catalogue")]
    assert {item for _, event in events if isinstance(event, Served) for item in event.item_ids} <= {
        item.item_id for item in items
    }


def test_the_fault_ledger_names_every_repetition(launch: Launch, kafka_config: KafkaConfig) -> None:
    assert launch('simulator.policy="random"').wait(timeout=120) == 0
    events = [event for _, event in read_events(kafka_config) if not isinstance(event, Tick)]
    seen: set[str] = set()
    repeated = []
    for event in events:
        if event.event_id in seen:
            repeated.append(event.event_id)
        seen.add(event.event_id)
    ledger = [t.event_id for t in read_truths(kafka_config) if isinstance(t, TruthFault) and t.kind == "duplicate"]
    assert repeated
    assert sorted(repeated) == sorted(ledger)


def test_a_kill_changes_nothing_that_is_told(launch: Launch, kafka_config: KafkaConfig, tmp_path: Path) -> None:
    start_ms = 1_767_571_200_000
    log = tmp_path / "simulator.log"
    sets = ('simulator.policy="popularity"', "simulator.speed=5000")
    first = launch(*sets, state="killed")
    wait_for_steps(tmp_path / "killed" / "simulator" / "checkpoint.json", start_ms + 2 * 3_600_000)
    steps = tmp_path / "killed" / "simulator" / "steps.jsonl"
    wait_until(lambda: steps.read_bytes().count(b"\n") > 3)  # what was told since is in no checkpoint
    first.kill()
    first.wait()
    assert launch(*sets[:1], state="killed").wait(timeout=120) == 0, log.read_text()[-2000:]
    interrupted = {event.event_id: event for _, event in read_events(kafka_config)}

    assert launch(*sets[:1], state="whole").wait(timeout=120) == 0
    everything = [event for _, event in read_events(kafka_config)]
    whole = {event.event_id: event for event in everything}
    assert whole == interrupted  # the second story repeats the first: same ids, same events
    assert all(event == interrupted[event.event_id] for event in everything)


def test_a_live_command_is_obeyed(launch: Launch, kafka_config: KafkaConfig, tmp_path: Path) -> None:
    process = launch('simulator.policy="random"', "simulator.speed=4000")
    wait_for_steps(tmp_path / "state" / "simulator" / "checkpoint.json", 1)
    producer = make_producer(kafka_config)
    command = Drift(command_id="by-hand", issued_ms=1, task="cart", factor=0.25)
    producer.send(kafka_config.topic(CONTROL.name), value=encode(command))
    producer.close()
    assert process.wait(timeout=120) == 0
    told = [t for t in read_truths(kafka_config) if isinstance(t, TruthScenario) and t.task == "cart"]
    assert [truth.factor for truth in told] == [0.25]
