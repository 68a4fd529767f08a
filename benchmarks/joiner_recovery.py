"""How long a worker takes to go on where the one before it ended, and what a pending impression weighs."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from kafka import KafkaConsumer, TopicPartition

from benchmarks.joiner_rig import Worker, fill
from benchmarks.joiner_traffic import MINUTE, SLATE, Traffic, encoded, make_events, make_tick
from local_stack.broker.topics import create_topics, delete_topics, plan_topics
from springtide.contracts.codec import encode
from springtide.contracts.topics import EVENTS
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import servers

TIMEOUT_S: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What the second life of a worker gave."""

    seconds: float
    """From its start as a process to the first record taken in by its last partition."""
    empty_seconds: float
    """The same of a worker without state."""
    bytes_pending: float
    """Resident bytes per pending impression, beyond those of a worker without state."""


def measure_recovery(traffic: Traffic, kafka: KafkaConfig, folder: Path, store: str, *, clean: bool) -> Recovery:
    """Let a worker take in slates whose windows stay open, end it, and start another.

    Args:
        traffic: ends before any window closes.
        kafka: where.
        folder: of state.
        store: `streaming.store`.
        clean: end it by request; otherwise with SIGKILL.
    """
    kafka = replace(kafka, topic_prefix=f"recovery-{'clean' if clean else 'killed'}-")
    sets = [f"streaming.store={store}", "joiner.trigger_every=1m"]
    create_topics(kafka.bootstrap, plan_topics(kafka))
    try:
        newest = traffic.start_ms
        fill(kafka, _ticks(traffic, newest))
        with Worker(kafka, folder / "empty", sets) as worker:
            empty_seconds, empty_rss = _wait_for_partitions(worker, traffic.partitions), worker.rss()
        counts = fill(kafka, encoded(traffic, make_events(traffic)))
        newest += traffic.span_ms + 30 * MINUTE  # clicks come late; no window has closed yet
        counts = [first + second for first, second in zip(counts, fill(kafka, _ticks(traffic, newest)), strict=True)]
        with Worker(kafka, folder / "state", sets) as worker:
            _wait_for_commit(worker, kafka, [number + 1 for number in counts])
            if clean:
                worker.stop()
            else:
                worker.kill()
        fill(kafka, _ticks(traffic, newest + 2 * MINUTE))
        with Worker(kafka, folder / "state", sets) as worker:
            seconds = _wait_for_partitions(worker, traffic.partitions)
            pending = worker.rss() - empty_rss
    finally:
        delete_topics(kafka.bootstrap, [plan.name for plan in plan_topics(kafka)])
    return Recovery(seconds=seconds, empty_seconds=empty_seconds, bytes_pending=pending / (traffic.slates * SLATE))


def _ticks(traffic: Traffic, time_ms: int) -> list[tuple[int, bytes, bytes]]:
    partitions = range(traffic.partitions)
    return [(partition, b"", encode(make_tick(partition, time_ms))) for partition in partitions]


def _wait_for_partitions(worker: Worker, partitions: int) -> float:
    """Wait until every partition has gone on; gives the seconds since the worker's start."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        worker.look()
        begun = worker.all_begun_s()
        if len(begun) >= partitions:
            return max(begun) - worker.started_s
        time.sleep(0.05)
    raise RuntimeError(f"worker: expected {partitions} partitions within {TIMEOUT_S} s, got fewer:\n{worker.tail()}")


def _wait_for_commit(worker: Worker, kafka: KafkaConfig, offsets: list[int]) -> None:
    """Wait until every partition is committed up to its last tick, which is a trigger."""
    consumer = KafkaConsumer(bootstrap_servers=servers(kafka), group_id=f"{kafka.topic_prefix}springtide-joiner")
    deadline = time.monotonic() + TIMEOUT_S
    try:
        tps = [TopicPartition(kafka.topic(EVENTS.name), number) for number in range(kafka.partitions)]
        while any((consumer.committed(tp) or 0) < offset for tp, offset in zip(tps, offsets, strict=True)):
            worker.look()
            if time.monotonic() > deadline:
                raise RuntimeError(f"worker: expected commits up to {offsets}, got fewer:\n{worker.tail()}")
            time.sleep(0.5)
    finally:
        consumer.close()
