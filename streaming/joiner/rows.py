"""Rows from a slate. A row is a function of the slate's events with times up to its age, and of nothing else.

A row is laid together from pieces of JSON, most of them as they came with `served`: nothing is parsed to be written
again. A test holds it against the contract's own encoding.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from springtide.contracts.codec import encode
from springtide.contracts.samples import Phase
from springtide.contracts.tasks import TASKS
from streaming.joiner.plan import Plan, Stage
from streaming.joiner.served import pick_column, pick_columns, pick_features
from streaming.joiner.state import Fact, Slate, TakenBack, every_place
from streaming.joiner.windows import Windows

_FRAME: Final = (
    b'{"row_id":"%%b:%b","phase":%b,"request_id":"%%b","user_id":%%b,%%b,"impression_time_ms":%%d,"age_ms":%d,'
    b'"item_ids":%%b,"positions":%b,"labels":%%b,"delays_ms":%%b,"maturity":%b,"revenue":%%b,'
    b'"scores":%%b,"propensities":%%b,"features":%%b,"negative_keep":%b,"schema_version":1}'
)
"""Sample, in the order of its fields. First the pieces that are the same for many slates are laid into it, then the
slate's own."""
MOST_FRAMES: Final = 4096


class Row(NamedTuple):
    """One message of topic `samples`."""

    phase: Phase
    key: bytes
    value: bytes
    sampled_out: int = 0
    told: tuple[str, ...] = ()
    """`task:item` of its positives."""


class _Labels(NamedTuple):
    """The columns that tell what became of items, as JSON."""

    labels: bytes
    delays_ms: bytes
    revenue: bytes


class _Age(NamedTuple):
    """Which row of a slate it is."""

    phase: Phase
    suffix: str
    """Of the row id."""
    age_ms: int
    maturity: bytes


class Rows:
    """Makes the rows of one partition's slates."""

    def __init__(self, windows: Windows, plan: Plan) -> None:
        self._windows, self._plan = windows, plan
        self._keep_all = windows.negative_keep == 1.0
        self._negative_keep = encode(windows.negative_keep)
        self._ages = [self._age(stage) for stage in plan.stages]
        self._frames: dict[tuple[int, tuple[int, ...]], bytes] = {}

    def _age(self, stage: Stage) -> _Age:
        maturity = encode({task: self._windows.maturity(task, stage.age_ms) for task in TASKS})
        phase = stage.phase or "final"
        suffix = f"aged:{stage.age_ms}" if phase == "aged" else phase
        return _Age(phase, suffix, stage.age_ms, maturity)

    def whole(self, slate: Slate, stage: Stage) -> Row | None:
        """Make the row of the slate's stage: every shown item that is kept, every task. None when no item is left."""
        places, age = slate.positions, self._ages[slate.stage]
        facts = self._counted(slate, age.age_ms) if slate.labels else ()
        outcome = _Outcome(slate, facts) if facts else None
        if not self._keep_all:
            places = self._kept(slate, outcome)
        if not places:
            return None
        told = _blank(len(places)) if outcome is None else outcome.columns(places)
        value = _fill(self._frame_of(slate.stage, places), slate, places, told, stage.with_features)
        names = tuple(dict.fromkeys([f"{fact.task}:{fact.item_id}" for fact in facts])) if facts else ()
        return Row(age.phase, slate.request_id.encode(), value, len(slate.positions) - len(places), names)

    def corrected(self, slate: Slate, fact: Fact) -> Row:
        """Make the row of one late positive: one item, one task."""
        delay, task = slate.delay_ms(fact.time_ms), fact.task
        maturity = encode({task: self._windows.maturity(task, delay)})
        age = _Age("corrected", f"corrected:{task}:{fact.item_id}", delay, maturity)
        told = _Labels(encode({task: [1]}), encode({task: [delay]}), b"[]")
        return self._of_item(slate, fact.item_id, age, told, with_features=self._plan.correct_with_features)

    def refunded(self, slate: Slate, refund: TakenBack) -> Row:
        """Make the row of one refund: what is left of its item's purchases once it and all before it are taken off."""
        item_id = next(fact.item_id for fact in slate.labels if fact.event_id == refund.purchase_id)
        gone = {other.purchase_id for other in slate.refunds if _moment(other) <= _moment(refund)}
        left = [
            fact
            for fact in self._counted(slate, self._windows.final_age_ms)
            if fact.task == "purchase" and fact.item_id == item_id and fact.event_id not in gone
        ]
        age_ms, maturity = slate.delay_ms(refund.time_ms), encode({"purchase": "closed"})
        age = _Age("refunded", f"refunded:{refund.purchase_id}", age_ms, maturity)
        delay = slate.delay_ms(left[0].time_ms) if left else -1
        revenue = sum([fact.revenue for fact in left], 0.0)
        told = _Labels(encode({"purchase": [int(bool(left))]}), encode({"purchase": [delay]}), encode([revenue]))
        return self._of_item(slate, item_id, age, told, with_features=False)

    def _of_item(self, slate: Slate, item_id: str, age: _Age, told: _Labels, *, with_features: bool) -> Row:
        places = (slate.place(item_id),)
        value = _fill(self._frame(age, places), slate, places, told, with_features)
        return Row(age.phase, slate.request_id.encode(), value)

    def _frame_of(self, stage: int, places: tuple[int, ...]) -> bytes:
        """Give the frame of a stage's rows: the same for all slates of which the same places were shown."""
        frame = self._frames.get((stage, places))
        if frame is None:
            if len(self._frames) >= MOST_FRAMES:
                self._frames.clear()
            frame = self._frames[stage, places] = self._frame(self._ages[stage], places)
        return frame

    def _frame(self, age: _Age, places: tuple[int, ...]) -> bytes:
        suffix = encode(age.suffix)[1:-1].replace(b"%", b"%%")
        return _FRAME % (suffix, encode(age.phase), age.age_ms, encode(places), age.maturity, self._negative_keep)

    def _counted(self, slate: Slate, age_ms: int) -> list[Fact]:
        """Give the shown items' labels that count at an age, in the order of their times."""
        counts = self._windows.counts
        facts = [
            fact
            for fact in slate.labels
            if counts(fact.task, slate.delay_ms(fact.time_ms), age_ms) and slate.place(fact.item_id)
        ]
        if len(facts) > 1:
            facts.sort(key=lambda fact: (fact.time_ms, fact.event_id))
        return facts

    def _kept(self, slate: Slate, outcome: "_Outcome | None") -> tuple[int, ...]:
        """Choose the positions that rows keep: those with a label, and a share of the others."""
        positive = set() if outcome is None else outcome.items
        return tuple(
            [
                place
                for place in slate.positions
                if slate.item_ids[place - 1] in positive
                or self._windows.keeps_negative(slate.request_id, slate.item_ids[place - 1])
            ]
        )


class _Outcome:
    """What became of each item, by its labels in the order of their times."""

    def __init__(self, slate: Slate, facts: list[Fact]) -> None:
        self._slate, self._facts = slate, facts

    @property
    def items(self) -> set[str]:
        """The items that have one."""
        return {fact.item_id for fact in self._facts}

    def columns(self, places: tuple[int, ...]) -> _Labels:
        """Lay them into columns; the earliest label of a task and item gives the delay."""
        count, slate = len(places), self._slate
        labels = {task: [0] * count for task in TASKS}
        delays = {task: [-1] * count for task in TASKS}
        revenue = [0.0] * count
        for fact in self._facts:
            index, task = places.index(slate.place(fact.item_id)), fact.task
            revenue[index] += fact.revenue
            if not labels[task][index]:
                labels[task][index], delays[task][index] = 1, slate.delay_ms(fact.time_ms)
        return _Labels(encode(labels), encode(delays), encode(revenue))


def _moment(refund: TakenBack) -> tuple[int, str]:
    return refund.time_ms, refund.event_id


def _fill(frame: bytes, slate: Slate, places: tuple[int, ...], told: _Labels, with_features: bool) -> bytes:
    """Lay what the slate alone has into a frame: the bytes as they came where every item was shown, else cut out."""
    item_ids: Sequence[str] = slate.item_ids
    scores, propensities, features = slate.scores, slate.propensities, slate.features if with_features else b"null"
    if places != every_place(len(item_ids)):
        indices = [place - 1 for place in places]
        item_ids = [item_ids[index] for index in indices]
        scores, propensities = pick_columns(scores, indices), pick_column(propensities, indices)
        features = pick_features(features, indices)
    request_id = encode(slate.request_id)[1:-1]
    return frame % (
        request_id, request_id, encode(slate.user_id), slate.origin, slate.impression_ms, encode(item_ids),
        told.labels, told.delays_ms, told.revenue, scores, propensities, features,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _blank(count: int) -> _Labels:
    """Give the columns of items without labels."""
    return _Outcome(Slate(""), []).columns(tuple(range(count)))
