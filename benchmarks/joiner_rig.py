"""What the joiner's benchmark runs on: a topic filled at once, a real worker on its own core, a clock on both."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil
from aiokafka import AIOKafkaProducer

from springtide.contracts.topics import EVENTS
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer, servers

ROOT: Final = Path(__file__).parents[1]
WORKER_CORE: Final = max(os.sched_getaffinity(0))
BROKER_CORES: Final = os.sched_getaffinity(0) - {WORKER_CORE} or {WORKER_CORE}
BATCH_BYTES: Final = 128 * 1024


def keep_to_broker_cores() -> None:
    """Leave the worker's core alone; children that are started later inherit it."""
    os.sched_setaffinity(0, BROKER_CORES)


def fill(kafka: KafkaConfig, records: Iterable[tuple[int, bytes, bytes]], topic: str = EVENTS.name) -> list[int]:
    """Write records (partition, key, value) in whole batches; returns the number of records per partition."""
    return asyncio.run(_fill(kafka, records, kafka.topic(topic)))


async def _fill(kafka: KafkaConfig, records: Iterable[tuple[int, bytes, bytes]], topic: str) -> list[int]:
    counts = [0] * kafka.partitions
    async with AIOKafkaProducer(
        bootstrap_servers=servers(kafka), acks="all", max_batch_size=BATCH_BYTES, enable_idempotence=True
    ) as producer:
        sent, batches = [], [producer.create_batch() for _ in counts]
        for partition, key, value in records:
            counts[partition] += 1
            if batches[partition].append(timestamp=None, key=key, value=value) is None:
                sent.append(await producer.send_batch(batches[partition], topic, partition=partition))
                batches[partition] = producer.create_batch()
                batches[partition].append(timestamp=None, key=key, value=value)
        for partition, batch in enumerate(batches):
            if batch.record_count():
                batch.close()
                sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
    return counts


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record and when the broker took it."""

    key: bytes
    value: bytes
    taken_ms: int


def read_all(kafka: KafkaConfig, topic: str) -> Iterator[StoredRecord]:
    """Read every record that a topic holds now."""
    consumer = make_consumer(kafka, [kafka.topic(topic)], max_poll_records=5000)
    try:
        ends = consumer.end_offsets(list(consumer.assignment()))
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for records in consumer.poll(timeout_ms=500).values():
                yield from (StoredRecord(record.key, record.value, record.timestamp) for record in records)
    finally:
        consumer.close()


class Counter:
    """Counts the records of a topic, again and again, over one connection."""

    def __init__(self, kafka: KafkaConfig, topic: str) -> None:
        self._consumer = make_consumer(kafka, [kafka.topic(topic)])
        self._partitions = list(self._consumer.assignment())

    def __call__(self) -> int:
        """Count them now."""
        return sum(self._consumer.end_offsets(self._partitions).values())

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


class Worker:
    """One run of `python -m streaming` on one core, with its CPU time read every now and then."""

    def __init__(self, kafka: KafkaConfig, folder: Path, sets: Sequence[str] = (), core: int = WORKER_CORE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._address = folder / "health"
        self.log = folder / "worker.log"
        given = {
            "kafka.bootstrap": kafka.bootstrap,
            "kafka.topic_prefix": kafka.topic_prefix,
            "kafka.partitions": kafka.partitions,
            "process.state_folder": folder,
            "process.health_port": _free_port(),
            "streaming.role": "joiner",
        }
        self.port = given["process.health_port"]
        texts = [*(f"{key}={value}" for key, value in given.items()), *sets]
        command = [sys.executable, "-m", "streaming", "--config", "config/base.toml"]
        for text in texts:
            command += ["--set", text]
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 -- one system call before exec
            )  # fmt: skip
        self.started_s = time.time()
        self._process = psutil.Process(self.child.pid)
        self.samples: list[tuple[float, float]] = []
        """Wall time and CPU seconds so far."""

    def look(self) -> float:
        """Note and give the CPU seconds so far; a dead worker raises."""
        if self.child.poll() is not None:
            raise RuntimeError(f"worker: expected it running, got exit {self.child.returncode}:\n{self.tail()}")
        times = self._process.cpu_times()
        self.samples.append((time.time(), times.user + times.system))
        return self.samples[-1][1]

    def cpu_between(self, begun_s: float, ended_s: float) -> float:
        """CPU seconds between two wall times, by the notes next to them."""
        before = [cpu for at, cpu in self.samples if at <= begun_s] or [self.samples[0][1]]
        after = [cpu for at, cpu in self.samples if at >= ended_s] or [self.samples[-1][1]]
        return after[0] - before[-1]

    def begun_s(self) -> float | None:
        """Wall time at which the first record was taken in, from its log."""
        return min(self.all_begun_s(), default=None)

    def all_begun_s(self) -> list[float]:
        """Wall times at which partitions took in their first records."""
        entries = [entry for entry in self.entries() if "goes on with partition" in entry.get("message", "")]
        return [datetime.fromisoformat(entry["time"]).timestamp() for entry in entries]

    def entries(self) -> Iterator[dict[str, Any]]:
        """Give what it logged."""
        for line in self.log.read_text(errors="replace").splitlines():
            with suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry

    def health(self) -> dict[str, Any]:
        """What it says of itself; empty before it speaks."""
        with suppress(OSError):
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2)
            except urllib.error.HTTPError as error:
                answer = error
            return dict(json.loads(answer.read()))
        return {}

    def rss(self) -> int:
        """Resident bytes."""
        return int(self._process.memory_info().rss)

    def tail(self) -> str:
        """Give the end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> int:
        """Ask for its end and give the exit code."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(60)

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.child.kill()
        self.child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.child.poll() is None:
            self.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
