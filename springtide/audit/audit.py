"""The audit: what the joiner said against a batch join of the same events, for any piece of event time. Pure.

The topics are read once to compare fingerprints; only when some differ are they read again, to say what differs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from springtide.audit.differences import Difference, describe
from springtide.audit.expected import AuditRange, PartitionAudit
from springtide.audit.prints import Judged, Prints, Verdict, judge, key_of
from springtide.contracts.events import AnyEvent
from springtide.contracts.samples import Sample
from springtide.runtime.config import LabelsConfig

MOST_DESCRIBED = 10_000
"""Rows that differ beyond this are counted, not named."""


class AuditSource(Protocol):
    """Where events and rows are read from; both may be read twice."""

    @property
    def complete_from_ms(self) -> int:
        """Slates shown before this may have lost events or rows to the topics' retention."""
        ...

    def events(self) -> Iterable[tuple[int, AnyEvent]]:
        """Give partition and event, each partition in its order, without what the joiner put to the dead letters."""
        ...

    def rows(self) -> Iterable[Sample]:
        """Give every row of topic `samples`, in any order."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditReport:
    """The outcome."""

    judged: Judged
    verdict: Verdict
    differences: list[Difference]
    """The rows that differ, at most `MOST_DESCRIBED` of them; those of late slates as well."""
    watermarks_ms: dict[int, int]
    """Per partition with events."""
    counts: Counter[str]
    """events read, late ones among them, and the most that were held at once."""

    @property
    def empty(self) -> bool:
        """Say that there was nothing to judge."""
        return self.verdict.expected == 0 and self.verdict.said == 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        fields = ("kind", "row_id", "user_id", "impression_time_ms", "fields")
        return {
            "judged": {"from": day(self.judged.from_ms), "to": day(self.judged.to_ms),
                       "due_before": day(self.judged.due_before_ms)},
            "rows": self.verdict.to_dict(),
            "events": dict(self.counts),
            "watermarks_ms": self.watermarks_ms,
            "differences": [{name: getattr(found, name) for name in fields} for found in self.differences],
        }  # fmt: skip


def audit(source: AuditSource, labels: LabelsConfig, span: AuditRange) -> AuditReport:
    """Compare every row of the slates shown in a piece of event time, as far as their windows have closed."""
    parts: dict[int, PartitionAudit] = {}
    ages = PartitionAudit(labels, span)
    wanted, said = Prints(ages.final_ms, ages.refund_ms), Prints(ages.final_ms, ages.refund_ms)
    late: set[str] = set()
    for partition, row in _expected(source, labels, span, parts):
        wanted.add(row, late=row.request_id in parts[partition].late_requests)
    for part in parts.values():
        late |= part.late_requests
    for row in _said(source, span):
        said.add(row, late=row.request_id in late)
    marks = {number: part.watermark_ms for number, part in sorted(parts.items()) if part.watermark_ms is not None}
    judged = Judged(
        from_ms=max(span.from_ms, source.complete_from_ms),
        to_ms=span.to_ms,
        due_before_ms=min(marks.values(), default=0),
    )
    verdict = judge(wanted, said, judged)
    counts: Counter[str] = Counter()
    for part in parts.values():
        counts.update(part.counts)
    differences = _describe(source, labels, span, verdict) if verdict or verdict.late else []
    return AuditReport(judged=judged, verdict=verdict, differences=differences, watermarks_ms=marks, counts=counts)


def _expected(
    source: AuditSource, labels: LabelsConfig, span: AuditRange, parts: dict[int, PartitionAudit]
) -> Iterator[tuple[int, Sample]]:
    for partition, event in source.events():
        if partition not in parts:
            parts[partition] = PartitionAudit(labels, span)
        for row in parts[partition].take(event):
            yield partition, row
    for partition, part in parts.items():
        for row in part.finish():
            yield partition, row


def _said(source: AuditSource, span: AuditRange) -> Iterator[Sample]:
    return (row for row in source.rows() if span.from_ms <= row.impression_time_ms < span.to_ms)


def _describe(source: AuditSource, labels: LabelsConfig, span: AuditRange, verdict: Verdict) -> list[Difference]:
    """Read again, and say of each row that differs what does."""
    kinds = {key: kind for kind, keys in {**verdict.kinds, "late": verdict.late}.items() for key in keys}
    kinds = dict(list(kinds.items())[:MOST_DESCRIBED])
    wanted = {key_of(row.row_id): row for _, row in _expected(source, labels, span, {}) if key_of(row.row_id) in kinds}
    said: dict[int, list[Sample]] = {}
    for row in _said(source, span):
        variants = said.setdefault(key, []) if (key := key_of(row.row_id)) in kinds else [row]
        if row not in variants:
            variants.append(row)
    found = [describe(kind, wanted.get(key), said.get(key, [])) for key, kind in kinds.items()]
    return sorted(found, key=lambda difference: (difference.impression_time_ms, difference.row_id))


def day(time_ms: int) -> str:
    """Write an event time; far-off bounds as such."""
    if time_ms <= 0 or time_ms >= 2**60:
        return "the beginning" if time_ms <= 0 else "the end"
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
