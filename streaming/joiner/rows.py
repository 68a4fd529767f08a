"""Rows from a slate. A row is a function of the slate's events with times up to its age, and of nothing else."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from springtide.contracts.codec import encode
from springtide.contracts.events import Context, SlateFeatures
from springtide.contracts.samples import Maturity, Phase
from springtide.contracts.tasks import TASKS, Task
from streaming.joiner.plan import Plan, Stage
from streaming.joiner.served import pick_column, pick_columns
from streaming.joiner.state import Fact, Origin, Slate, TakenBack, every_place
from streaming.joiner.windows import Windows

_NULL: Final = msgspec.Raw(b"null")
_NONE: Final = msgspec.Raw(b"[]")
_features_decoder: Final = msgspec.json.Decoder(SlateFeatures)


class _Sample(msgspec.Struct, kw_only=True):
    """Sample, field by field, with the columns that pass through as bytes."""

    row_id: str
    phase: Phase
    request_id: str
    user_id: str
    experiment: str
    arm: str
    other_arms: dict[str, str]
    model_version: str
    fallback: str
    context: Context
    impression_time_ms: int | None
    age_ms: int
    item_ids: Sequence[str]
    positions: Sequence[int]
    labels: msgspec.Raw | dict[Task, list[int]]
    delays_ms: msgspec.Raw | dict[Task, list[int]]
    maturity: dict[Task, Maturity]
    revenue: msgspec.Raw | list[float] = _NONE
    scores: msgspec.Raw | dict[str, msgspec.Raw]
    propensities: msgspec.Raw
    features: msgspec.Raw | SlateFeatures = _NULL
    negative_keep: float
    schema_version: int = 1


class Row(NamedTuple):
    """One message of topic `samples`."""

    phase: Phase
    key: bytes
    value: bytes
    items: int
    sampled_out: int = 0
    told: tuple[str, ...] = ()
    """`task:item` of its positives."""


class _Outcome(NamedTuple):
    """What became of each shown item."""

    labels: dict[Task, list[int]]
    delays_ms: dict[Task, list[int]]
    revenue: list[float]


class Rows:
    """Makes the rows of one partition's slates."""

    def __init__(self, windows: Windows, plan: Plan) -> None:
        self._windows, self._plan = windows, plan
        self._maturity = {
            stage.age_ms: {task: windows.maturity(task, stage.age_ms) for task in TASKS} for stage in plan.stages
        }

    def whole(self, slate: Slate, stage: Stage) -> Row | None:
        """Make the row of a stage: every shown item that is kept, every task. None when no item is left."""
        assert slate.origin is not None
        assert stage.phase is not None
        facts = self._counted(slate, stage.age_ms)
        outcome = _outcome(slate, facts) if facts else None
        places = slate.positions if self._windows.negative_keep == 1.0 else self._kept(slate, outcome)
        if not places:
            return None
        row = _Sample(
            row_id=_row_id(slate, stage),
            phase=stage.phase,
            age_ms=stage.age_ms,
            maturity=self._maturity[stage.age_ms],
            **_outcome_columns(slate, places, outcome),
            **self._columns(slate, slate.origin, places, stage.with_features),
        )
        sampled_out = len(slate.positions) - len(places)
        told = tuple(dict.fromkeys(f"{fact.task}:{fact.item_id}" for fact in facts))
        return Row(stage.phase, slate.request_id.encode(), encode(row), len(places), sampled_out, told)

    def corrected(self, slate: Slate, fact: Fact) -> Row:
        """Make the row of one late positive: one item, one task."""
        delay = slate.delay_ms(fact.time_ms)
        return self._item_row(
            slate,
            fact.item_id,
            row_id=f"{slate.request_id}:corrected:{fact.task}:{fact.item_id}",
            phase="corrected",
            age_ms=delay,
            labels={fact.task: [1]},
            delays_ms={fact.task: [delay]},
            maturity={fact.task: self._windows.maturity(fact.task, delay)},
            with_features=self._plan.correct_with_features,
        )

    def refunded(self, slate: Slate, refund: TakenBack) -> Row:
        """Make the row of one refund: what is left of its item's purchases once it and all before it are taken off."""
        bought = next(fact for fact in slate.labels if fact.event_id == refund.purchase_id)
        gone = {other.purchase_id for other in slate.refunds if _moment(other) <= _moment(refund)}
        left = [
            fact
            for fact in self._counted(slate, self._windows.final_age_ms)
            if fact.task == "purchase" and fact.item_id == bought.item_id and fact.event_id not in gone
        ]
        return self._item_row(
            slate,
            bought.item_id,
            row_id=f"{slate.request_id}:refunded:{refund.purchase_id}",
            phase="refunded",
            age_ms=slate.delay_ms(refund.time_ms),
            labels={"purchase": [1 if left else 0]},
            delays_ms={"purchase": [slate.delay_ms(left[0].time_ms) if left else -1]},
            maturity={"purchase": "closed"},
            revenue=[sum([fact.revenue for fact in left], 0.0)],
            with_features=False,
        )

    def _item_row(self, slate: Slate, item_id: str, *, with_features: bool, **given: Any) -> Row:
        assert slate.origin is not None
        row = _Sample(**given, **self._columns(slate, slate.origin, (slate.place(item_id),), with_features))
        return Row(row.phase, slate.request_id.encode(), encode(row), 1)

    def _counted(self, slate: Slate, age_ms: int) -> list[Fact]:
        """Give the shown items' labels that count at an age, in the order of their times."""
        facts = [
            fact
            for fact in slate.labels
            if self._windows.counts(fact.task, slate.delay_ms(fact.time_ms), age_ms) and slate.place(fact.item_id)
        ]
        return sorted(facts, key=lambda fact: (fact.time_ms, fact.event_id))

    def _kept(self, slate: Slate, outcome: _Outcome | None) -> tuple[int, ...]:
        """Choose the positions that rows keep: those with a label, and a share of the others."""
        return tuple(
            position
            for index, position in enumerate(slate.positions)
            if (outcome and any(column[index] for column in outcome.labels.values()))
            or self._windows.keeps_negative(slate.request_id, slate.item_ids[position - 1])
        )

    def _columns(self, slate: Slate, origin: Origin, places: tuple[int, ...], with_features: bool) -> dict[str, Any]:
        """Give what serving decided; bytes as they came where every item was shown."""
        columns = {
            "request_id": slate.request_id,
            "user_id": slate.user_id,
            "experiment": origin.experiment,
            "arm": origin.arm,
            "other_arms": origin.other_arms,
            "model_version": origin.model_version,
            "fallback": origin.fallback,
            "context": origin.context,
            "impression_time_ms": slate.impression_ms,
            "positions": places,
            "negative_keep": self._windows.negative_keep,
        }
        if places == every_place(len(slate.item_ids)):
            columns["item_ids"] = slate.item_ids
            columns["scores"] = msgspec.Raw(slate.scores)
            columns["propensities"] = msgspec.Raw(slate.propensities)
            if with_features:
                columns["features"] = msgspec.Raw(slate.features)
            return columns
        indices = [place - 1 for place in places]
        columns["item_ids"] = [slate.item_ids[index] for index in indices]
        columns["scores"] = pick_columns(slate.scores, indices)
        columns["propensities"] = pick_column(slate.propensities, indices)
        if with_features:
            columns["features"] = _pick_features(slate.features, indices)
        return columns


def _row_id(slate: Slate, stage: Stage) -> str:
    return f"{slate.request_id}:{stage.phase}" + (f":{stage.age_ms}" if stage.phase == "aged" else "")


def _moment(refund: TakenBack) -> tuple[int, str]:
    return refund.time_ms, refund.event_id


def _outcome(slate: Slate, facts: list[Fact]) -> _Outcome:
    """Lay labels into columns over the shown items; the earliest of a task and item gives the delay."""
    count = len(slate.positions)
    outcome = _Outcome({task: [0] * count for task in TASKS}, {task: [-1] * count for task in TASKS}, [0.0] * count)
    index_of = {slate.item_ids[position - 1]: index for index, position in enumerate(slate.positions)}
    for fact in facts:
        index = index_of[fact.item_id]
        outcome.revenue[index] += fact.revenue
        if not outcome.labels[fact.task][index]:
            outcome.labels[fact.task][index], outcome.delays_ms[fact.task][index] = 1, slate.delay_ms(fact.time_ms)
    return outcome


def _outcome_columns(slate: Slate, places: tuple[int, ...], outcome: _Outcome | None) -> dict[str, Any]:
    if outcome is None:
        return _blank(len(places))
    if len(places) == len(slate.positions):
        return outcome._asdict()
    at = [slate.positions.index(place) for place in places]
    return {
        "labels": {task: [column[index] for index in at] for task, column in outcome.labels.items()},
        "delays_ms": {task: [column[index] for index in at] for task, column in outcome.delays_ms.items()},
        "revenue": [outcome.revenue[index] for index in at],
    }


@lru_cache(maxsize=1024)
def _blank(count: int) -> dict[str, Any]:
    """Give the columns of items without labels, encoded once."""
    return {
        "labels": msgspec.Raw(encode({task: [0] * count for task in TASKS})),
        "delays_ms": msgspec.Raw(encode({task: [-1] * count for task in TASKS})),
        "revenue": msgspec.Raw(encode([0.0] * count)),
    }


def _pick_features(features: bytes, indices: list[int]) -> msgspec.Raw | SlateFeatures:
    if features == b"null":
        return _NULL
    whole = _features_decoder.decode(features)
    return msgspec.structs.replace(
        whole,
        item={name: [column[index] for index in indices] if column else [] for name, column in whole.item.items()},
        item_category=[whole.item_category[index] for index in indices] if whole.item_category else [],
    )
