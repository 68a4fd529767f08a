"""How late rows are when events come as they happen: event time is wall time, at a rate below the worker's peak."""

import asyncio
import statistics
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer

from benchmarks.joiner_rig import Counter, Worker, read_all
from benchmarks.joiner_traffic import SLATE, Traffic, make_events, partition_of
from local_stack.broker.topics import create_topics, delete_topics, plan_topics
from springtide.contracts.codec import encode
from springtide.contracts.topics import EVENTS, SAMPLES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import servers

AGE_MS: Final = 5_000
LATENESS_MS: Final = 1_000
WINDOWS: Final = (
    'labels.observation={ click = "5s", cart = "5s", purchase = "5s" }',
    'labels.attribution={ click = "5s", cart = "5s", purchase = "30s" }',
    "labels.allowed_lateness=1s",
    "joiner.orphan_wait=30s",
    "joiner.trigger_every=200ms",
)
SLICE_S: Final = 0.02
LEAD_S: Final = 15
"""Wall time for the worker to start before the first event."""


class Emitted(msgspec.Struct):
    """What of a row tells when it was due."""

    phase: str
    impression_time_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Lag:
    """Seconds between an observed row's being due and the broker's stamp on it."""

    rate: float
    """Impressions a second."""
    p50: float
    p99: float
    rows: int


def measure_lag(kafka: KafkaConfig, folder: Path, *, rate: float, seconds: float, seed: int) -> Lag:
    """Send slates as they happen, and hold each observed row's stamp against the time at which it was due.

    Args:
        kafka: where.
        folder: of state.
        rate: impressions a second.
        seconds: of traffic.
        seed: of the traffic.
    """
    kafka = replace(kafka, topic_prefix="lag-")
    slates = int(rate * seconds / SLATE)
    traffic = Traffic(
        slates=slates, seed=seed, span_ms=int(1000 * seconds), disorder_ms=200, partitions=kafka.partitions
    )
    made = make_events(traffic)  # before the clock starts; its times are moved afterwards
    create_topics(kafka.bootstrap, plan_topics(kafka))
    try:
        with Worker(kafka, folder / "lag", WINDOWS) as worker:
            begin_ms = int(1000 * (time.time() + LEAD_S))
            shift = begin_ms - traffic.start_ms
            last_ms = begin_ms + traffic.span_ms + AGE_MS + LATENESS_MS + 2000
            records = [
                (late + shift, partition_of(event, kafka.partitions), event.user_id.encode(), _moved(event, shift))
                for late, event in made
                if late + shift < last_ms
            ]
            asyncio.run(_send_as_it_happens(kafka, records))
            _wait(worker, kafka)
            stored = [record for record in read_all(kafka, SAMPLES.name)]
    finally:
        delete_topics(kafka.bootstrap, [plan.name for plan in plan_topics(kafka)])
    lags = []
    for record in stored:
        row = msgspec.json.decode(record.value, type=Emitted)
        due_ms = row.impression_time_ms + AGE_MS + LATENESS_MS
        if row.phase == "observed" and due_ms < begin_ms + traffic.span_ms:
            lags.append((record.taken_ms - due_ms) / 1000)
    cuts = statistics.quantiles(lags, n=100)
    return Lag(rate=rate, p50=cuts[49], p99=cuts[98], rows=len(lags))


def _moved(event: msgspec.Struct, shift: int) -> bytes:
    return encode(msgspec.structs.replace(event, event_time_ms=event.event_time_ms + shift))  # type: ignore[attr-defined]


async def _send_as_it_happens(kafka: KafkaConfig, records: Iterable[tuple[int, int, bytes, bytes]]) -> None:
    """Send each record at its time, in slices of 20 ms."""
    topic = kafka.topic(EVENTS.name)
    async with AIOKafkaProducer(bootstrap_servers=servers(kafka), acks="all", enable_idempotence=True) as producer:
        for at_ms, partition, key, value in records:
            wait = at_ms / 1000 - time.time()
            if wait > SLICE_S:
                await asyncio.sleep(wait)
            await producer.send(topic, key=key, value=value, partition=partition)
        await producer.flush()


def _wait(worker: Worker, kafka: KafkaConfig) -> None:
    """Wait until no more rows come."""
    with closing(Counter(kafka, SAMPLES.name)) as count:
        before, since = -1, time.monotonic()
        while time.monotonic() - since < 3:
            worker.look()
            now = count()
            if now != before:
                before, since = now, time.monotonic()
            time.sleep(0.2)
