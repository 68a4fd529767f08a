"""The stream process as a child process, so that a kill is a real one; and topics written and read whole."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent
from springtide.contracts.samples import Sample
from springtide.contracts.topics import EVENTS, SAMPLES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer, make_producer, servers
from streaming.shell.failpoints import VARIABLE

ROOT = Path(__file__).parents[3]


class StreamProcess:
    """One run of `python -m streaming`."""

    def __init__(self, kafka: KafkaConfig, state: Path, *sets: str, failpoint: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        given = {
            "kafka.bootstrap": kafka.bootstrap,
            "kafka.topic_prefix": kafka.topic_prefix,
            "kafka.partitions": kafka.partitions,
            "process.state_folder": state,
            "process.health_port": self.port,
        }
        self.ended = False
        """It was ended here, or died of its point."""
        self.log = state / f"streaming-{self.port}.log"
        command = [sys.executable, "-m", "streaming", "--config", "config/base.toml"]
        for text in [*(f"{key}={value}" for key, value in given.items()), *sets]:
            command += ["--set", text]
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, VARIABLE: failpoint}
            )

    def __enter__(self) -> "StreamProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    def health(self) -> dict[str, Any]:
        """What the process says of itself; empty before it speaks."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2)
            except urllib.error.HTTPError as error:
                answer = error
            return dict(json.loads(answer.read()))
        return {}

    def metrics(self) -> dict[str, float]:
        """Every Prometheus sample of ours, by its name with labels."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5).read().decode()
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("springtide_"))
        return {name: float(value) for name, value in pairs}

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.ended = True
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        """Ask for its end and give the exit code."""
        self.ended = True
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(30)

    def wait_for_death(self, seconds: float = 90.0) -> int:
        """Wait until it ends by itself, and give the exit code."""
        self.ended = True
        return self.child.wait(seconds)

    def wait_ready(self) -> None:
        """Wait until it has read its state and takes records."""
        wait_until(
            lambda: self.alive() and bool(self.health().get("ready")), "the stream process to be ready", self.log
        )

    def alive(self) -> bool:
        """True while it runs; an early end fails the test."""
        assert self.child.poll() is None, f"exit {self.child.returncode}:\n{self.log.read_text()[-4000:]}"
        return True


def wait_until(
    condition: Callable[[], bool], what: str, log: Path | None = None, seconds: float = 90.0, pause: float = 0.1
) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        told = log.read_text()[-4000:] if log else ""
        assert time.monotonic() < deadline, f"expected {what} within {seconds} s\n{told}"
        time.sleep(pause)


def send_events(kafka: KafkaConfig, partitions: dict[int, list[AnyEvent]]) -> None:
    """Write events, each list to its partition."""
    producer = make_producer(kafka)
    for partition, events in partitions.items():
        for event in events:
            producer.send(
                kafka.topic(EVENTS.name), key=event.user_id.encode(), value=encode(event), partition=partition
            )
    producer.flush()
    producer.close()


def read_all(kafka: KafkaConfig, topic: str) -> Iterator[Any]:
    """Read every record that a topic holds now."""
    consumer = make_consumer(kafka, [kafka.topic(topic)])
    try:
        ends = consumer.end_offsets(list(consumer.assignment()))
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for records in consumer.poll(timeout_ms=500).values():
                yield from records
    finally:
        consumer.close()


def read_records(kafka: KafkaConfig, topic: str) -> Iterator[tuple[bytes, bytes]]:
    """Read every key and value that a topic holds now."""
    return ((record.key, record.value) for record in read_all(kafka, topic))


def read_places(kafka: KafkaConfig) -> Iterator[tuple[str, int]]:
    """Read in which partition each user's rows lie."""
    decoder = msgspec.json.Decoder(Sample)
    return ((decoder.decode(record.value).user_id, record.partition) for record in read_all(kafka, SAMPLES.name))


def count_of(kafka: KafkaConfig, topic: str) -> int:
    """Count the records of a topic."""
    consumer = make_consumer(kafka, [kafka.topic(topic)])
    try:
        return sum(consumer.end_offsets(list(consumer.assignment())).values())
    finally:
        consumer.close()


def read_rows(kafka: KafkaConfig) -> list[Sample]:
    """Read every sample row."""
    return [msgspec.json.decode(value, type=Sample) for _, value in read_records(kafka, SAMPLES.name)]


def committed(kafka: KafkaConfig, group: str) -> dict[int, int]:
    """Give the committed offset per partition of `events`."""
    consumer = KafkaConsumer(bootstrap_servers=servers(kafka), group_id=group)
    try:
        tps = [TopicPartition(kafka.topic(EVENTS.name), number) for number in range(kafka.partitions)]
        return {tp.partition: consumer.committed(tp) or 0 for tp in tps}
    finally:
        consumer.close()
