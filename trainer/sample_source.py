"""Reads `samples` from Kafka by hand-assigned partitions and offsets; commits nothing: offsets live in checkpoints."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from kafka import TopicPartition

from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.errors import BrokerError
from springtide.contracts.samples import Sample
from springtide.contracts.topics import SAMPLES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer

_decoder = msgspec.json.Decoder(Sample)


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """One sample and where it lay."""

    partition: int
    offset: int
    sample: Sample


@dataclass(slots=True)
class SampleSource:
    """Some partitions of `samples`, from given offsets on."""

    kafka: KafkaConfig
    offsets: dict[int, int]
    """Next offset to read per partition owned; moves on as samples are taken."""
    dead: list[DeadLetter] = field(default_factory=list)
    """What could not be decoded since it was last emptied."""
    _consumer: Any = None

    def open(self) -> None:
        """Connect and go to `offsets`; without partitions there is nothing to connect for."""
        if not self.offsets:
            return
        self._consumer = make_consumer(self.kafka, [self.kafka.topic(SAMPLES.name)], max_poll_records=2000)
        partitions = [self._partition(number) for number in sorted(self.offsets)]
        self._consumer.assign(partitions)
        for partition in partitions:
            self._consumer.seek(partition, self.offsets[partition.partition])

    def take(self, most: int, wait_ms: int) -> list[Taken]:
        """Return up to `most` samples, waiting up to `wait_ms` for the first."""
        if not self.offsets:
            time.sleep(wait_ms / 1000)  # a rank without partitions keeps the others' pace
            return []
        taken: list[Taken] = []
        for records in self._consumer.poll(timeout_ms=wait_ms, max_records=most).values():
            for record in records:
                self.offsets[record.partition] = record.offset + 1
                sample = self._decode(record)
                if sample is not None:
                    taken.append(Taken(partition=record.partition, offset=record.offset, sample=sample))
        return taken

    def read(self, spans: Mapping[int, tuple[int, int]], patience_s: float = 60.0) -> Iterator[Sample]:
        """Yield the samples of [first, end) of each partition once more, on a connection of its own.

        Raises:
            BrokerError: nothing came for `patience_s`, though the span has not ended.
        """
        consumer = make_consumer(self.kafka, [self.kafka.topic(SAMPLES.name)], max_poll_records=2000)
        try:
            for number, (first, end) in sorted(spans.items()):
                partition = self._partition(number)
                consumer.assign([partition])
                consumer.seek(partition, first)
                deadline = time.monotonic() + patience_s
                while consumer.position(partition) < end:
                    records = consumer.poll(timeout_ms=200).get(partition, [])
                    if not records and time.monotonic() > deadline:
                        raise BrokerError(
                            f"samples: expected offset {end - 1} of partition {number}, got none; try again"
                        )
                    for record in records:
                        sample = self._decode(record) if record.offset < end else None
                        if sample is not None:
                            yield sample
                    deadline = time.monotonic() + patience_s if records else deadline
        finally:
            consumer.close()

    def lag(self) -> dict[int, int]:
        """Return how many records lie ahead, per partition."""
        if not self.offsets:
            return {}
        ends = self._consumer.end_offsets([self._partition(number) for number in self.offsets])
        return {partition.partition: end - self.offsets[partition.partition] for partition, end in ends.items()}

    def take_dead(self) -> list[DeadLetter]:
        """Return, once, what could not be decoded."""
        dead, self.dead = self.dead, []
        return dead

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()

    def _partition(self, number: int) -> TopicPartition:
        return TopicPartition(self.kafka.topic(SAMPLES.name), number)

    def _decode(self, record: Any) -> Sample | None:
        try:
            return _decoder.decode(record.value)
        except msgspec.DecodeError as error:
            self.dead.append(
                DeadLetter(
                    reason="undecodable",
                    detail=f"samples: {error}",
                    topic=SAMPLES.name,
                    partition=record.partition,
                    offset=record.offset,
                    key=record.key or b"",
                    value=record.value or b"",
                )
            )
            return None
