"""What one partition's events should have become, slice by slice of event time, in bounded memory. Pure.

A slice is a piece of event time; it is joined in batch once the watermark has passed its end by the longest window.
Held are only the events of slates that an open slice needs: those shown in it, and, where a user's label names no
request, the user's other slates back to the longest attribution window, for one of their clicks may be the last.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from springtide.audit.batch_join import batch_join
from springtide.contracts.events import AnyEvent, Impression, Served, Tick
from springtide.contracts.samples import Sample
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds

SLACK_MS = 3_600_000
"""Clocks of producers differ: events of one slate may lie this far outside of its order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRange:
    """Which slates are judged: those shown in this piece of event time, ms; `to_ms` is exclusive."""

    from_ms: int = 0
    to_ms: int = 2**62
    slice_ms: int = 86_400_000
    """Event time that is joined at once; longer is faster and holds more."""
    corrections_carry_features: bool = True
    """False where `joiner.features_until` is `observed`."""


class PartitionAudit:
    """Reads the events of one partition in the order in which they came."""

    def __init__(self, labels: LabelsConfig, span: AuditRange) -> None:
        self._labels, self._span = labels, span
        self._lateness_ms = milliseconds(labels.allowed_lateness)
        self.final_ms = milliseconds(labels.final_age)
        self.refund_ms = milliseconds(labels.refund)
        self.hold_ms = max(self.final_ms, self.refund_ms)
        """Event time after an impression up to which its events are held: refunds may come late."""
        self.newest_ms: int | None = None
        self.first_ms: int | None = None
        self.late_requests: set[str] = set()
        """Requests of which some event came later than the allowed lateness; whether it counts is then open."""
        self.counts: Counter[str] = Counter()
        """events, late, held_most."""
        self._begin_ms: int | None = None
        self._requests: defaultdict[str, list[AnyEvent]] = defaultdict(list)
        self._of_user: defaultdict[str, set[str]] = defaultdict(set)
        self._loose: defaultdict[str, list[AnyEvent]] = defaultdict(list)
        self._held = 0

    @property
    def watermark_ms(self) -> int | None:
        """Event time up to which everything has come; None before the first event."""
        return None if self.newest_ms is None else self.newest_ms - self._lateness_ms

    def take(self, event: AnyEvent) -> Iterator[Sample]:
        """Take in one event, and yield the rows of every slice that it closes."""
        self.counts["events"] += 1
        late = self.watermark_ms is not None and event.event_time_ms < self.watermark_ms
        self.newest_ms = max(event.event_time_ms, self.newest_ms or event.event_time_ms)
        self.first_ms = event.event_time_ms if self.first_ms is None else self.first_ms
        if self._begin_ms is None:
            self._begin_ms = max(self._span.from_ms, event.event_time_ms - self.hold_ms - SLACK_MS)
        if not isinstance(event, Tick) and self._concerns(event.event_time_ms):
            self._hold(event, late=late)
        while self.newest_ms - self._lateness_ms > self._begin_ms + self._span.slice_ms + self.hold_ms + SLACK_MS:
            if self._begin_ms >= self._span.to_ms:
                return
            yield from self._close(min(self._begin_ms + self._span.slice_ms, self._span.to_ms))

    def finish(self) -> Iterator[Sample]:
        """At the end of the events: yield the rows of all that is held; who compares leaves out what is not due."""
        if self._begin_ms is not None and self._begin_ms < self._span.to_ms:
            yield from self._close(self._span.to_ms)

    def _concerns(self, time_ms: int) -> bool:
        oldest = max(self._span.from_ms, self._begin_ms or 0) - self.final_ms - SLACK_MS
        return oldest <= time_ms < self._span.to_ms + self.hold_ms + SLACK_MS

    def _hold(self, event: AnyEvent, *, late: bool) -> None:
        request_id = getattr(event, "request_id", "")
        known = self._requests.get(request_id, []) if request_id else self._loose.get(event.user_id, [])
        if late:
            if any(other.event_id == event.event_id for other in known):
                return
            self.counts["late"] += 1
            self.late_requests |= {request_id} if request_id else self._of_user.get(event.user_id, set())
        if request_id:
            self._requests[request_id].append(event)
            self._of_user[event.user_id].add(request_id)
        else:
            self._loose[event.user_id].append(event)
        self._held += 1
        self.counts["held_most"] = max(self.counts["held_most"], self._held)

    def _close(self, end_ms: int) -> Iterator[Sample]:
        """Join the slates shown from the slice's begin to its end, and let go of what no later slice needs."""
        begin_ms = self._begin_ms or 0
        chosen = {key for key, events in self._requests.items() if begin_ms <= _shown_ms(events) < end_ms}
        users = {event.user_id for key in chosen for event in self._requests[key] if isinstance(event, Served)}
        loose = [event for user in users for event in self._loose.get(user, ())]
        rivals = {key for event in loose for key in self._of_user.get(event.user_id, ())}
        events = [event for key in sorted(chosen | rivals) for event in self._requests[key]] + loose
        carry = self._span.corrections_carry_features
        for row in batch_join(events, self._labels, corrections_carry_features=carry):
            if begin_ms <= row.impression_time_ms < end_ms:
                yield row
        self._begin_ms = end_ms
        self._let_go(end_ms)

    def _let_go(self, end_ms: int) -> None:
        oldest = end_ms - self.final_ms - SLACK_MS
        for key in [key for key, events in self._requests.items() if _newest_ms(events) < oldest]:
            for event in self._requests.pop(key):
                self._held -= 1
                self._of_user[event.user_id].discard(key)
                if not self._of_user[event.user_id]:
                    del self._of_user[event.user_id]
        for user in list(self._loose):
            kept = [event for event in self._loose[user] if event.event_time_ms >= end_ms - SLACK_MS]
            self._held -= len(self._loose[user]) - len(kept)
            if kept:
                self._loose[user] = kept
            else:
                del self._loose[user]


def _shown_ms(events: list[AnyEvent]) -> int:
    return min((event.event_time_ms for event in events if isinstance(event, Impression)), default=-1)


def _newest_ms(events: list[AnyEvent]) -> int:
    """When the slate was shown, or heard of last while that is unknown."""
    shown = _shown_ms(events)
    return shown if shown >= 0 else max(event.event_time_ms for event in events)
