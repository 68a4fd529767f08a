"""A trainer process on a real broker, and what tests send to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.codec import encode
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import MODEL_UPDATES, SAMPLES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.failpoints import VARIABLE
from springtide.runtime.kafka import make_consumer, make_producer
from tests.builders.sample_world import World


def with_behaviours(rows: list[Sample]) -> list[Sample]:
    """Give each slate's user a past: some of the world's items, of any length; rows must have features."""
    random = np.random.default_rng(11)
    told = []
    for row in rows:
        count = int(random.integers(0, 13))
        assert row.features is not None
        features = msgspec.structs.replace(
            row.features,
            recent_items=[f"i{item}" for item in random.integers(0, 40, count)],
            recent_behaviours=[TASKS[kind] for kind in random.integers(0, len(TASKS), count)],
        )
        told.append(msgspec.structs.replace(row, features=features))
    return told


def send(kafka: KafkaConfig, rows: list[Sample]) -> None:
    """Put rows on the topic."""
    producer = make_producer(kafka)
    for row in rows:
        producer.send(kafka.topic(SAMPLES.name), key=row.request_id.encode(), value=encode(row))
    producer.flush()
    producer.close()


def updates(kafka: KafkaConfig) -> list[ModelUpdate]:
    """Read every announcement so far."""
    consumer = make_consumer(kafka, [kafka.topic(MODEL_UPDATES.name)])
    try:
        (partition,) = consumer.assignment()
        end = consumer.end_offsets([partition])[partition]
        found: list[ModelUpdate] = []
        while consumer.position(partition) < end:
            for records in consumer.poll(timeout_ms=500).values():
                found += [msgspec.json.decode(record.value, type=ModelUpdate) for record in records]
        return found
    finally:
        consumer.close()


PATIENCE_S = 400.0
"""A start alone takes seconds on an idle machine and a minute on a busy one."""


def wait_until(condition: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
    """Wait; fail when the trainer ended or time is over."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, f"trainer ended with {process.returncode} before {what}"
        assert time.monotonic() < deadline, f"{what} did not come about in {PATIENCE_S} s"
        time.sleep(0.5)


@dataclass
class Trainers:
    """Starts trainer processes with settings of this test alone."""

    kafka: KafkaConfig
    state: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    """In the environment of every process that a trainer starts."""
    port: int = 0
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def bundles(self) -> Path:
        """The bundle root."""
        return self.state / "bundles"

    def start(self, *sets: str, failpoint: str = "") -> subprocess.Popen[bytes]:
        """Start one; its log goes to the state folder. It, or a rank, dies at the failpoint NAME:HIT."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = [
            f"process.health_port={self.port}", f"process.state_folder={self.state}",
            f"kafka.bootstrap={self.kafka.bootstrap}",
            f"kafka.topic_prefix={self.kafka.topic_prefix}", f"kafka.partitions={self.kafka.partitions}",
            "trainer.delta_every=6h", "trainer.daily_features=logged", "trainer.batch_rows=64", "trainer.wait=200ms",
            "model.dense_learning_rate=0.005", *sets,
        ]  # fmt: skip
        arguments = [part for setting in settings for part in ("--set", setting)]
        with (self.state / "trainer.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "trainer", "--config", "config/base.toml", *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "SPRINGTIDE_TEST_MARK": self.mark, VARIABLE: failpoint},
            )
        self.started.append(process)
        return process

    def health(self) -> dict[str, Any]:
        """What the trainer says of itself, nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return {}

    def alive(self) -> list[int]:
        """Processes that any trainer of this test started and that still run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = self.mark.encode() in (folder / "environ").read_bytes()
                dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if marked and not dead:
                found.append(int(folder.name))
        return found

    def log(self) -> str:
        """All that was logged."""
        return (self.state / "trainer.log").read_text()


@pytest.fixture
def trainers(kafka_config: KafkaConfig, tmp_path: Path) -> Iterator[Trainers]:
    """Trainer processes that are gone when the test is."""
    running = Trainers(kafka_config, tmp_path)
    yield running
    for process in running.started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@pytest.fixture
def world() -> World:
    """The tiny world."""
    return World()


@dataclass(frozen=True)
class Stream:
    """What tests do to the topics."""

    send: Callable[..., None] = staticmethod(send)
    updates: Callable[..., list[ModelUpdate]] = staticmethod(updates)
    wait_until: Callable[..., None] = staticmethod(wait_until)


@pytest.fixture
def stream() -> Stream:
    """Sending, reading, waiting."""
    return Stream()
