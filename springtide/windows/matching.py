"""Brings labels and impressions of one partition together, in bounded memory, to see how long labels take. Pure.

An impression is kept until it is as old as the horizon, then it goes into the tables for good. When more slates are
open than `most_slates`, half of the users is left out from then on, by a hash of their id: whole users, so that a
purchase without a request still finds its user's last click. A label goes to its request, or else to the last click
of its user on the item that has come already.
"""

import heapq
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from springtide.contracts.codec import event_decoder
from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Label, Purchase
from springtide.contracts.tasks import TASKS, Task
from springtide.windows.delay_table import DelayTable

TASK_OF: Final[dict[type, Task]] = {Click: "click", Cart: "cart", Purchase: "purchase"}
OUTLIER_RUN: Final = 20
"""Events far ahead in a row after which a leap of time is believed."""
_WHOLE: Final = 2**32
_LET_GO_EVERY: Final = 1024
"""Events between two looks for slates that are old enough: many at once are entered faster."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchRules:
    """What is looked at, in ms of event time."""

    horizon_ms: int
    lateness_ms: int
    """How far behind the newest event another may come."""
    max_advance_ms: int
    """An event further ahead of the newest than this is an outlier."""
    from_ms: int = 0
    """Impressions from here on count..."""
    to_ms: int = 2**62
    """...up to here, exclusive."""
    most_slates: int = 200_000
    """Open slates above which users are left out."""


@dataclass(slots=True)
class _Slate:
    user_id: str
    first_ms: int
    impression_ms: int | None = None
    positions: set[int] = field(default_factory=set)
    labels: dict[tuple[Task, str], int] = field(default_factory=dict)
    """Time of the first label, per task and item."""


class DelayMatcher:
    """Reads the events of one partition in the order in which they came."""

    def __init__(self, rules: MatchRules) -> None:
        self._rules = rules
        self.tables: dict[Task, DelayTable] = {task: DelayTable(rules.horizon_ms) for task in TASKS}
        self.counts: Counter[str] = Counter()
        """undecodable, outliers, too_old, without_impression, without_request, negative_delays, halvings."""
        self.first_ms: int | None = None
        self.newest_ms: int | None = None
        self._suspect_ms = self._suspects = 0
        self._slates: dict[str, _Slate] = {}
        self._leaving: list[tuple[int, str]] = []
        self._clicks: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        self._limit, self._taken = _WHOLE, 0

    @property
    def open_slates(self) -> int:
        """Slates in memory."""
        return len(self._slates)

    @property
    def sampled(self) -> float:
        """Share of users that is looked at."""
        return self._limit / _WHOLE

    def read(self, value: bytes | None) -> None:
        """Take in one stored record; what is no event is counted."""
        try:
            event = event_decoder.decode(value or b"")
        except msgspec.DecodeError:
            self.counts["undecodable"] += 1
        else:
            self.take(event)

    def take(self, event: AnyEvent) -> None:
        """Take in one event."""
        if not self._believe(event.event_time_ms):
            self.counts["outliers"] += 1
            return
        if isinstance(event, Impression | Label) and self._looks_at(event.user_id):
            if event.event_time_ms < self._oldest_ms():
                self.counts["too_old"] += 1
            elif isinstance(event, Impression):
                self._take_impression(event)
            else:
                self._take_label(event)
        self._taken += 1
        if self._taken % _LET_GO_EVERY == 0:
            self._let_go(self._oldest_ms())
        while len(self._slates) > self._rules.most_slates:
            self._halve()

    def finish(self) -> None:
        """At the end of the events: what is still open enters with the age that it has."""
        self._let_go(2**62)

    def _oldest_ms(self) -> int:
        return (self.newest_ms or 0) - self._rules.lateness_ms - self._rules.horizon_ms

    def _believe(self, time_ms: int) -> bool:
        if self.newest_ms is None or time_ms - self.newest_ms <= self._rules.max_advance_ms:
            self.newest_ms, self._suspects = max(time_ms, self.newest_ms or time_ms), 0
            self.first_ms = time_ms if self.first_ms is None else self.first_ms
            return True
        agrees = abs(time_ms - self._suspect_ms) <= self._rules.max_advance_ms
        self._suspect_ms, self._suspects = time_ms, self._suspects + 1 if agrees else 1
        if self._suspects < OUTLIER_RUN:
            return False
        self.newest_ms, self._suspects = time_ms, 0
        return True

    def _looks_at(self, user_id: str) -> bool:
        return zlib.crc32(user_id.encode()) < self._limit

    def _open(self, request_id: str, event: Impression | Label) -> _Slate:
        slate = self._slates.get(request_id)
        if slate is None:
            slate = self._slates[request_id] = _Slate(event.user_id, event.event_time_ms)
            heapq.heappush(self._leaving, (event.event_time_ms + self._rules.horizon_ms, request_id))
        return slate

    def _take_impression(self, event: Impression) -> None:
        slate = self._open(event.request_id, event)
        seen = slate.impression_ms
        slate.impression_ms = event.event_time_ms if seen is None else min(seen, event.event_time_ms)
        slate.positions.update(event.positions)

    def _take_label(self, event: Label) -> None:
        request_id = event.request_id or self._last_click(event)
        if not request_id:
            self.counts["without_request"] += 1
            return
        slate, name = self._open(request_id, event), (TASK_OF[type(event)], event.item_id)
        slate.labels[name] = min(event.event_time_ms, slate.labels.get(name, event.event_time_ms))
        if isinstance(event, Click):
            self._clicks[event.user_id, event.item_id][request_id] = slate.labels[name]

    def _last_click(self, event: Label) -> str:
        clicks = self._clicks.get((event.user_id, event.item_id), {})
        before = [(time, request_id) for request_id, time in clicks.items() if time <= event.event_time_ms]
        return max(before)[1] if before else ""

    def _let_go(self, until_ms: int) -> None:
        """Enter every slate that was first heard of a horizon before `until_ms`, and forget it."""
        due = until_ms + self._rules.horizon_ms
        ready: list[_Slate] = []
        while self._leaving and self._leaving[0][0] < due:
            _, request_id = heapq.heappop(self._leaving)
            slate = self._slates.pop(request_id, None)
            if slate is not None:
                self._forget_clicks(request_id, slate)
                ready.append(slate)
        if ready:
            self._enter(ready)

    def _enter(self, slates: Iterable[_Slate]) -> None:
        delays: dict[Task, list[int]] = {task: [] for task in TASKS}
        ages: dict[Task, list[int]] = {task: [] for task in TASKS}
        for slate in slates:
            if slate.impression_ms is None:
                self.counts["without_impression"] += 1
                continue
            if not self._rules.from_ms <= slate.impression_ms < self._rules.to_ms:
                continue
            age = max((self.newest_ms or 0) - slate.impression_ms, 0)
            unlabelled = dict.fromkeys(TASKS, len(slate.positions))
            for (task, _), time_ms in slate.labels.items():
                self.counts["negative_delays"] += time_ms < slate.impression_ms
                delays[task].append(max(time_ms - slate.impression_ms, 0))
                unlabelled[task] -= 1
            for task, number in unlabelled.items():
                ages[task] += [age] * max(number, 0)
        for task in TASKS:
            self.tables[task].add(delays[task], ages[task])

    def _forget_clicks(self, request_id: str, slate: _Slate) -> None:
        for task, item_id in slate.labels:
            clicks = self._clicks.get((slate.user_id, item_id)) if task == "click" else None
            if clicks is not None:
                clicks.pop(request_id, None)
                if not clicks:
                    del self._clicks[slate.user_id, item_id]

    def _halve(self) -> None:
        """Leave out half of the users that are looked at."""
        self._limit //= 2
        self.counts["halvings"] += 1
        for request_id in [key for key, slate in self._slates.items() if not self._looks_at(slate.user_id)]:
            self._forget_clicks(request_id, self._slates.pop(request_id))
        self._leaving = [entry for entry in self._leaving if entry[1] in self._slates]
        heapq.heapify(self._leaving)


def merged(matchers: Iterable[DelayMatcher]) -> dict[Task, DelayTable]:
    """Add up the tables of all partitions.

    Raises:
        ValueError: there is none, or the horizons differ.
    """
    found = list(matchers)
    if not found:
        raise ValueError("merged: expected at least one partition, got none; read a topic")
    tables = dict(found[0].tables)
    for matcher in found[1:]:
        tables = {task: tables[task].merge(matcher.tables[task]) for task in TASKS}
    return tables
