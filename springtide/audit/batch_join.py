"""The label join as a batch over all events: what the stream job must have said once every window is closed.

Rules: events with an equal id are one event; the oldest `served` of a request counts; its impression is the oldest,
with the positions of all; a label counts up to and including its attribution window; a label without a request goes
to its user's last click, at or before it, on a shown item; a label before its impression has delay 0. A purchase is
taken back by its earliest refund that is in time, after the final row. Of items without a label a share is kept, by
a hash; a row without items is not said.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Purchase, Refund, Served
from springtide.contracts.samples import Maturity, Phase, Sample
from springtide.contracts.tasks import TASKS, Task
from springtide.runtime.config import LabelsConfig

_TASK: dict[type, Task] = {Click: "click", Cart: "cart", Purchase: "purchase"}


class Fact(NamedTuple):
    """A click, cart or purchase."""

    time_ms: int
    event_id: str
    task: Task
    item_id: str
    revenue: float


@dataclass
class Differences:
    """How rows differ from what was expected; all empty when they agree."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Present with another payload."""
    conflicts: list[str] = field(default_factory=list)
    """One row_id, two payloads."""
    repeated: int = 0
    """Rows that came again with the same payload: allowed, dropped by whoever learns."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.wrong or self.conflicts)


def batch_join(
    events: Iterable[AnyEvent], labels: LabelsConfig, *, corrections_carry_features: bool = True
) -> list[Sample]:
    """Join all events at once; every window is taken as closed.

    Args:
        events: in any order, repeated or not.
        labels: windows and policy.
        corrections_carry_features: false where `joiner.features_until` is `observed`.
    """
    unique: dict[str, AnyEvent] = {}
    for event in events:
        unique.setdefault(event.event_id, event)
    served: dict[str, Served] = {}
    shown_at: dict[str, int] = {}
    positions: defaultdict[str, set[int]] = defaultdict(set)
    for event in unique.values():
        if isinstance(event, Served):
            rival = served.get(event.request_id)
            if rival is None or (event.event_time_ms, event.event_id) < (rival.event_time_ms, rival.event_id):
                served[event.request_id] = event
        elif isinstance(event, Impression):
            shown_at[event.request_id] = min(event.event_time_ms, shown_at.get(event.request_id, event.event_time_ms))
            positions[event.request_id] |= set(event.positions)
    complete = served.keys() & shown_at.keys()
    shown = {request: _shown(served[request], positions[request]) for request in complete}
    closed_at = {request: shown_at[request] + _ms(labels.final_age) for request in complete}
    facts = _credit([e for e in unique.values() if isinstance(e, Click | Cart | Purchase)], served, shown, closed_at)
    refunds: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for event in unique.values():
        if isinstance(event, Refund):
            refunds[event.purchase_id].append((event.event_time_ms, event.event_id))
    rows: list[Sample] = []
    for request in sorted(complete):
        slate = _Slate(served[request], shown_at[request], shown[request], facts[request], labels)
        slate.corrections_carry_features = corrections_carry_features
        rows += [row for row in slate.rows(refunds) if row.item_ids]
    return rows


def compare(rows: Iterable[Sample], expected: Iterable[Sample]) -> Differences:
    """Compare what a stream said, repetitions included, with what it should have said, byte for byte."""
    found = Differences()
    said: dict[str, bytes] = {}
    for row in rows:
        payload = encode(row)
        if said.setdefault(row.row_id, payload) != payload:
            found.conflicts.append(row.row_id)
        elif said[row.row_id] is not payload:
            found.repeated += 1
    wanted = {row.row_id: encode(row) for row in expected}
    found.missing = sorted(wanted.keys() - said.keys())
    found.unexpected = sorted(said.keys() - wanted.keys())
    found.wrong = sorted(row_id for row_id in wanted.keys() & said.keys() if wanted[row_id] != said[row_id])
    return found


def _shown(served: Served, positions: set[int]) -> list[tuple[int, str]]:
    count = len(served.item_ids)
    return [(position, served.item_ids[position - 1]) for position in sorted(positions) if 1 <= position <= count]


def _credit(
    labels: list[Click | Cart | Purchase],
    served: dict[str, Served],
    shown: dict[str, list[tuple[int, str]]],
    closed_at: dict[str, int],
) -> dict[str, list[Fact]]:
    """Give every label to a request; a click after its own slate has closed takes no credit."""
    facts: defaultdict[str, list[Fact]] = defaultdict(list)
    clicks: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for label in labels:
        if label.request_id:
            facts[label.request_id].append(_fact(label))
            on_show = label.item_id in {item for _, item in shown.get(label.request_id, [])}
            if isinstance(label, Click) and on_show and label.event_time_ms <= closed_at[label.request_id]:
                user = served[label.request_id].user_id
                clicks[user, label.item_id].append((label.event_time_ms, label.request_id))
    for label in labels:
        if not label.request_id and not isinstance(label, Click):
            before = [click for click in clicks[label.user_id, label.item_id] if click[0] <= label.event_time_ms]
            if before:
                facts[max(before)[1]].append(_fact(label))
    return facts


def _fact(label: Click | Cart | Purchase) -> Fact:
    revenue = label.price * label.quantity if isinstance(label, Purchase) else 0.0
    return Fact(label.event_time_ms, label.event_id, _TASK[type(label)], label.item_id, revenue)


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


class _Slate:
    """One slate with all of its labels."""

    corrections_carry_features = True

    def __init__(
        self, served: Served, start: int, shown: list[tuple[int, str]], facts: list[Fact], labels: LabelsConfig
    ) -> None:
        self.served, self.start, self.shown, self.settings = served, start, shown, labels
        self.observation = {task: _ms(labels.observation[task]) for task in TASKS}
        self.attribution = {task: _ms(labels.attribution[task]) for task in TASKS}
        self.facts = sorted(fact for fact in facts if fact.time_ms - start <= self.attribution[fact.task])

    def rows(self, refunds: dict[str, list[tuple[int, str]]]) -> list[Sample]:
        policy, final_age = self.settings.policy, max(self.attribution.values())
        rows = [self.row("aged", _ms(age)) for age in self.settings.ages]
        if policy != "close":
            rows += [self.row("observed", self.observed_age), *self.corrections()]
        if policy != "fast":
            rows.append(self.row("final", final_age))
        return rows + self.taken_back(refunds)

    @property
    def observed_age(self) -> int:
        return max(self.observation.values())

    def corrections(self) -> list[Sample]:
        first: dict[tuple[Task, str], Fact] = {}
        for fact in self.facts:
            first.setdefault((fact.task, fact.item_id), fact)
        late = [fact for fact in first.values() if fact.time_ms - self.start > self.observed_age]
        return [self.correction(place, fact) for fact in late for place in self.places(fact.item_id)]

    def places(self, item_id: str) -> list[tuple[int, str]]:
        return [entry for entry in self.shown if entry[1] == item_id][:1]

    def row(self, phase: Phase, age: int) -> Sample:
        counted = [fact for fact in self.facts if fact.time_ms - self.start <= age]
        times: dict[tuple[Task, str], list[int]] = defaultdict(list)
        bought: dict[str, float] = defaultdict(float)
        for fact in counted:
            times[fact.task, fact.item_id].append(max(0, fact.time_ms - self.start))
            bought[fact.item_id] += fact.revenue
        positive = {item for _, item in times}
        kept = [place for place in self.shown if place[1] in positive or self.keeps(place[1])]
        items = [item for _, item in kept]
        return Sample(
            row_id=f"{self.served.request_id}:{phase}" + (f":{age}" if phase == "aged" else ""),
            phase=phase,
            age_ms=age,
            labels={task: [1 if times[task, item] else 0 for item in items] for task in TASKS},
            delays_ms={task: [min(times[task, item], default=-1) for item in items] for task in TASKS},
            maturity={task: self.maturity(task, age) for task in TASKS},
            revenue=[bought[item] for item in items],
            **self.columns(kept, with_features=self.carries_features(phase, age)),
        )

    def carries_features(self, phase: Phase, age: int) -> bool:
        if self.settings.policy == "close":
            return True
        if phase == "aged":
            return self.corrections_carry_features or age <= self.observed_age
        return phase == "observed" or (phase == "final" and self.settings.final_features)

    def keeps(self, item: str) -> bool:
        digest = hashlib.blake2b(f"{self.served.request_id}:{item}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64 < self.settings.negative_keep

    def correction(self, place: tuple[int, str], fact: Fact) -> Sample:
        age = fact.time_ms - self.start
        return Sample(
            row_id=f"{self.served.request_id}:corrected:{fact.task}:{place[1]}",
            phase="corrected",
            age_ms=age,
            labels={fact.task: [1]},
            delays_ms={fact.task: [age]},
            maturity={fact.task: self.maturity(fact.task, age)},
            **self.columns([place], with_features=self.corrections_carry_features),
        )

    def taken_back(self, refunds: dict[str, list[tuple[int, str]]]) -> list[Sample]:
        """One row per refunded purchase: what is left of its item's purchases at that moment."""
        bought = {fact.event_id: fact for fact in self.facts if fact.task == "purchase" and self.places(fact.item_id)}
        limit = self.start + _ms(self.settings.refund)
        in_time = {name: [moment for moment in refunds.get(name, []) if moment[0] <= limit] for name in bought}
        back = {name: min(moments) for name, moments in in_time.items() if moments}
        rows = []
        for name, moment in back.items():
            gone = {other for other, earlier in back.items() if earlier <= moment}
            left = [fact for key, fact in bought.items() if key not in gone and fact.item_id == bought[name].item_id]
            rows.append(
                Sample(
                    row_id=f"{self.served.request_id}:refunded:{name}",
                    phase="refunded",
                    age_ms=max(0, moment[0] - self.start),
                    labels={"purchase": [int(bool(left))]},
                    delays_ms={"purchase": [min((max(0, fact.time_ms - self.start) for fact in left), default=-1)]},
                    maturity={"purchase": "closed"},
                    revenue=[sum((fact.revenue for fact in left), 0.0)],
                    **self.columns(self.places(bought[name].item_id), with_features=False),
                )
            )
        return rows

    def maturity(self, task: Task, age: int) -> Maturity:
        if age >= self.attribution[task]:
            return "closed"
        return "observed" if age >= self.observation[task] else "open"

    def columns(self, shown: list[tuple[int, str]], *, with_features: bool) -> dict[str, Any]:
        served, at = self.served, [position - 1 for position, _ in shown]
        features = served.features
        if features is not None:
            features = msgspec.structs.replace(
                features,
                item={name: [column[i] for i in at] if column else [] for name, column in features.item.items()},
                item_category=[features.item_category[i] for i in at] if features.item_category else [],
            )
        names = ("request_id", "user_id", "experiment", "arm", "other_arms", "model_version", "fallback", "context")
        return {
            **{name: getattr(served, name) for name in names},
            "impression_time_ms": self.start,
            "item_ids": [item for _, item in shown],
            "positions": [position for position, _ in shown],
            "scores": {task: [column[i] for i in at] if column else [] for task, column in served.scores.items()},
            "propensities": [served.propensities[i] for i in at] if served.propensities else [],
            "features": features if with_features else None,
            "negative_keep": self.settings.negative_keep,
        }
