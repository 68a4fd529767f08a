"""Reads a topic once, from a moment on up to its end now, partition by partition in order, and tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from kafka import TopicPartition
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from springtide.contracts.topics import TopicSpec
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer

_LINE_EVERY_S = 10.0
_TELL_EVERY = 2_000


class ScanProgress:
    """Says on the terminal how far each reading is: a bar, or where there is none a line every ten seconds."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._console, self._next_line = console, time.monotonic() + _LINE_EVERY_S
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> ScanProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def tell(self, name: str, done: int, total: int) -> None:
        """Tell that `done` of `total` records of a reading are read."""
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name)
        self._bars.update(self._tasks[name], completed=done, total=total)
        if not self._console.is_terminal and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_EVERY_S
            self._console.print(f"{name}: {done:,} of {total:,} records", highlight=False)


class TopicScan:
    """One reading of one topic."""

    def __init__(
        self,
        kafka: KafkaConfig,
        topic: TopicSpec,
        progress: ScanProgress,
        *,
        name: str = "",
        since_ms: int = 0,
        ends: Mapping[int, int] | None = None,
    ) -> None:
        """Bound the reading.

        Args:
            kafka: where.
            topic: which.
            progress: is told how far the reading is.
            name: what the reading is called there; the topic's name by default.
            since_ms: records that reached the broker before this are passed over where Kafka can find it by time.
            ends: offsets to stop before, per partition; by default the ends of now.
        """
        self._kafka, self._topic, self._progress = kafka, topic, progress
        self._name, self._since_ms, self._ends = name or topic.name, since_ms, ends

    def __iter__(self) -> Iterator[Any]:
        """Yield every record."""
        consumer = make_consumer(self._kafka, [self._kafka.topic(self._topic.name)], max_poll_records=2_000)
        try:
            begins, ends = self._bounds(consumer)
            total = sum(max(0, ends[tp] - begin) for tp, begin in begins.items())
            done, open_ones = 0, {tp for tp, begin in begins.items() if begin < ends[tp]}
            consumer.pause(*(begins.keys() - open_ones))
            for tp in open_ones:
                consumer.seek(tp, begins[tp])
            while open_ones:
                for tp, records in consumer.poll(timeout_ms=500).items():
                    for record in records:
                        if record.offset < ends[tp]:
                            yield record
                        done += 1
                        if done % _TELL_EVERY == 0:
                            self._progress.tell(self._name, min(done, total), total)
                finished = {tp for tp in open_ones if consumer.position(tp) >= ends[tp]}
                consumer.pause(*finished)
                open_ones -= finished
            self._progress.tell(self._name, total, total)
        finally:
            consumer.close()

    def _bounds(self, consumer: Any) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        partitions = list(consumer.assignment())
        begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        if self._ends is not None:
            ends = {tp: min(end, self._ends.get(tp.partition, 0)) for tp, end in ends.items()}
        if self._since_ms > 0:
            found = consumer.offsets_for_times(dict.fromkeys(partitions, self._since_ms))
            # None: every record is older, so record times are not of these events' time and say nothing.
            begins = {tp: found[tp].offset if found.get(tp) else begin for tp, begin in begins.items()}
        return begins, ends


def first_kept(kafka: KafkaConfig, topic: TopicSpec) -> list[bytes]:
    """Return the oldest record of each partition whose beginning was deleted."""
    consumer = make_consumer(kafka, [kafka.topic(topic.name)], max_poll_records=1)
    try:
        partitions = list(consumer.assignment())
        begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        wanted = {tp for tp in partitions if 0 < begins[tp] < ends[tp]}
        consumer.pause(*(set(partitions) - wanted))
        found: list[bytes] = []
        while wanted:
            for tp, records in consumer.poll(timeout_ms=500).items():
                found += [record.value for record in records[:1] if tp in wanted]
                consumer.pause(tp)
                wanted.discard(tp)
        return found
    finally:
        consumer.close()
