"""Runs the simulator as a real process against the test's own topics."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from springtide.contracts.codec import event_decoder, truth_decoder
from springtide.contracts.events import AnyEvent
from springtide.contracts.truth import AnyTruth
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer

SMALL = (
    "simulator.users=150", "simulator.items=120", "simulator.days=0.3", "simulator.sessions_per_day=1.5",
    "simulator.follow={}", "simulator.exit_when_done=true", "simulator.checkpoint_every=10",
    'labels.attribution={click="30m", cart="1h", purchase="2h"}', 'simulator.scenario="config/scenarios/tiny.toml"',
)  # fmt: skip

Launch = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def launch(kafka_config: KafkaConfig, tmp_path: Path) -> Iterator[Launch]:
    """Start the simulator with overrides; whatever still runs at the end is killed."""
    started = []

    def start(*sets: str, state: str = "state") -> subprocess.Popen[bytes]:
        own = (
            f"kafka.bootstrap={kafka_config.bootstrap}",
            f"kafka.topic_prefix={kafka_config.topic_prefix}",
            f"kafka.partitions={kafka_config.partitions}",
            f"process.state_folder={tmp_path / state}",
        )
        flags = [part for value in (*own, *SMALL, *sets) for part in ("--set", value)]
        with (tmp_path / "simulator.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "simulator", *flags], stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def read_topic(config: KafkaConfig, name: str) -> list[Any]:
    """Read every record of a topic, partition by partition."""
    consumer = make_consumer(config, [config.topic(name)])
    ends = consumer.end_offsets(list(consumer.assignment()))
    records: list[Any] = []
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for batch in consumer.poll(timeout_ms=200).values():
            records.extend(batch)
    consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def read_events(config: KafkaConfig) -> list[tuple[int, AnyEvent]]:
    """Read topic `events` as (partition, event)."""
    return [(record.partition, event_decoder.decode(record.value)) for record in read_topic(config, "events")]


def read_truths(config: KafkaConfig) -> list[AnyTruth]:
    """Read topic `truth`."""
    return [truth_decoder.decode(record.value) for record in read_topic(config, "truth")]
