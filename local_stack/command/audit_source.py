"""Events and rows of a real broker for the audit: up to what the joiner has committed, without what it set aside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec
from kafka import KafkaConsumer, TopicPartition

from local_stack.command.topic_scan import ScanProgress, TopicScan, first_kept
from springtide.audit.expected import SLACK_MS, AuditRange
from springtide.contracts.codec import event_decoder
from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.events import AnyEvent
from springtide.contracts.samples import Sample
from springtide.contracts.topics import DEAD_LETTER, EVENTS, SAMPLES
from springtide.runtime.config import KafkaConfig, LabelsConfig
from springtide.runtime.kafka import servers
from springtide.runtime.settings import milliseconds

GROUP: Final = "springtide-joiner"
"""The joiner's consumer group, without the topics' prefix."""
SET_ASIDE: Final = frozenset({"outlier_time", "wrong_partition", "orphan_expired", "impression_without_served"})
"""Reasons for which a dead letter's event counts for nothing; of an `unknown_position` the rest still counts."""


class KafkaSource:
    """The topics of a real broker; see springtide/audit/audit.py for what each promises."""

    def __init__(
        self, kafka: KafkaConfig, labels: LabelsConfig, span: AuditRange, progress: ScanProgress, *, to_end: bool
    ) -> None:
        self._kafka, self._progress = kafka, progress
        window_ms = max(milliseconds(labels.final_age), milliseconds(labels.refund))
        self._since_ms = max(0, span.from_ms - window_ms - 2 * SLACK_MS)
        self._ends = None if to_end else committed(kafka)
        self.set_aside: Counter[str] = Counter()
        """Events that the joiner put to the dead letters, by reason; they are not joined."""
        self._dead = self._read_dead_letters()
        self.complete_from_ms = self._complete_from(milliseconds(labels.final_age) + SLACK_MS)

    def events(self) -> Iterator[tuple[int, AnyEvent]]:
        """Give every event that the joiner took."""
        scan, undecodable = TopicScan(self._kafka, EVENTS, self._progress, since_ms=self._since_ms, ends=self._ends), 0
        for record in scan:
            if record.offset in self._dead[record.partition]:
                continue
            try:
                event = event_decoder.decode(record.value or b"")
            except msgspec.DecodeError:
                undecodable += 1
                continue
            yield record.partition, event
        self.set_aside["undecodable"] = undecodable

    def rows(self) -> Iterator[Sample]:
        """Give every row."""
        for record in TopicScan(self._kafka, SAMPLES, self._progress, since_ms=self._since_ms):
            yield msgspec.json.decode(record.value, type=Sample)

    def _read_dead_letters(self) -> defaultdict[int, set[int]]:
        found: defaultdict[int, set[int]] = defaultdict(set)
        for record in TopicScan(self._kafka, DEAD_LETTER, self._progress):
            letter = msgspec.json.decode(record.value, type=DeadLetter)
            if letter.topic != EVENTS.name or letter.offset in found[letter.partition]:
                continue
            if letter.reason in SET_ASIDE:
                found[letter.partition].add(letter.offset)
                self.set_aside[letter.reason] += 1
        return found

    def _complete_from(self, margin_ms: int) -> int:
        """Say from when on nothing was lost to retention: an oldest record that is not the first says so."""
        events = [event_decoder.decode(value).event_time_ms for value in first_kept(self._kafka, EVENTS)]
        rows = [msgspec.json.decode(value, type=Sample) for value in first_kept(self._kafka, SAMPLES)]
        return max(
            (time + margin_ms for time in [*events, *(row.impression_time_ms + row.age_ms for row in rows)]), default=0
        )


def committed(kafka: KafkaConfig) -> dict[int, int]:
    """Return the joiner's committed offset per partition: rows due by what lies before are on their topic."""
    consumer = KafkaConsumer(bootstrap_servers=servers(kafka), group_id=kafka.topic(GROUP), enable_auto_commit=False)
    try:
        numbers = sorted(consumer.partitions_for_topic(kafka.topic(EVENTS.name)) or ())
        return {n: consumer.committed(TopicPartition(kafka.topic(EVENTS.name), n)) or 0 for n in numbers}
    finally:
        consumer.close()
