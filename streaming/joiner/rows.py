"""Rows from a slate. A row is a function of the slate's events with times up to its age, and of nothing else."""

from typing import Any

from springtide.contracts.codec import event_decoder
from springtide.contracts.events import Served, SlateFeatures
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS, Task
from streaming.joiner.state import LabelFact, Slate
from streaming.joiner.windows import Windows


def read_served(slate: Slate) -> Served:
    """Decode the slate's own event; it was decoded once before, so it is whole."""
    served = event_decoder.decode(slate.served)
    assert isinstance(served, Served)
    return served


def column_problem(served: Served) -> str:
    """Name a column whose length is not the slate's; empty when all fit. Rows can only be cut from whole columns."""
    columns: dict[str, list[float] | list[str]] = {f"scores.{task}": column for task, column in served.scores.items()}
    columns["propensities"] = served.propensities
    if served.features is not None:
        columns |= {f"features.item.{name}": column for name, column in served.features.item.items()}
        columns["features.item_category"] = served.features.item_category
    count = len(served.item_ids)
    for name, column in columns.items():
        if column and len(column) != count:
            return f"{name}: expected {count} values, one per item, got {len(column)}"
    return ""


def earliest(slate: Slate, task: Task, item_id: str, age_ms: int, windows: Windows) -> LabelFact | None:
    """Find the first label of a task and item that counts at an age."""
    facts = [
        (fact.time_ms, event_id)
        for event_id, fact in slate.labels.items()
        if fact.task == task and fact.item_id == item_id and windows.counts(task, slate.delay_ms(fact), age_ms)
    ]
    return slate.labels[min(facts)[1]] if facts else None


def full_row(slate: Slate, served: Served, phase: str, age_ms: int, windows: Windows) -> Sample:
    """Make the observed or the final row: every shown item, every task.

    Args:
        slate: complete.
        served: its decoded event.
        phase: `observed` carries features, `final` does not.
        age_ms: labels with a delay up to it, and up to their attribution window, count.
        windows: the label windows.
    """
    shown = slate.shown()
    labels: dict[Task, list[int]] = {task: [0] * len(shown) for task in TASKS}
    delays: dict[Task, list[int]] = {task: [-1] * len(shown) for task in TASKS}
    revenue = [0.0] * len(shown)
    column = {item_id: index for index, (_, item_id) in enumerate(shown)}
    for _, fact in sorted(slate.labels.items(), key=lambda entry: (entry[1].time_ms, entry[0])):
        index, delay = column.get(fact.item_id), slate.delay_ms(fact)
        if index is None or not windows.counts(fact.task, delay, age_ms):
            continue
        revenue[index] += fact.revenue
        if not labels[fact.task][index]:
            labels[fact.task][index], delays[fact.task][index] = 1, delay
    return Sample(
        row_id=f"{slate.request_id}:{phase}",
        phase="observed" if phase == "observed" else "final",
        age_ms=age_ms,
        labels=labels,
        delays_ms=delays,
        maturity={task: windows.maturity(task, age_ms) for task in TASKS},
        revenue=revenue,
        **_columns(slate, served, shown, with_features=phase == "observed"),
    )


def corrected_row(slate: Slate, served: Served, fact: LabelFact, windows: Windows) -> Sample:
    """Make the row of one late positive: one item, one task, with the item's features."""
    delay = slate.delay_ms(fact)
    shown = [entry for entry in slate.shown() if entry[1] == fact.item_id][:1]
    return Sample(
        row_id=f"{slate.request_id}:corrected:{fact.task}:{fact.item_id}",
        phase="corrected",
        age_ms=delay,
        labels={fact.task: [1]},
        delays_ms={fact.task: [delay]},
        maturity={fact.task: windows.maturity(fact.task, delay)},
        **_columns(slate, served, shown, with_features=True),
    )


def _columns(slate: Slate, served: Served, shown: list[tuple[int, str]], *, with_features: bool) -> dict[str, Any]:
    indices = [position - 1 for position, _ in shown]
    return {
        "request_id": slate.request_id,
        "user_id": served.user_id,
        "experiment": served.experiment,
        "arm": served.arm,
        "other_arms": served.other_arms,
        "model_version": served.model_version,
        "fallback": served.fallback,
        "context": served.context,
        "impression_time_ms": slate.impression_ms,
        "item_ids": [item_id for _, item_id in shown],
        "positions": [position for position, _ in shown],
        "scores": {task: _pick(column, indices) for task, column in served.scores.items()},
        "propensities": _pick(served.propensities, indices),
        "features": _pick_features(served.features, indices, len(served.item_ids)) if with_features else None,
    }


def _pick(column: list[float], indices: list[int]) -> list[float]:
    return [column[index] for index in indices] if column else []


def _pick_features(features: SlateFeatures | None, indices: list[int], count: int) -> SlateFeatures | None:
    if features is None or indices == list(range(count)):
        return features
    return SlateFeatures(
        version=features.version,
        feature_time_ms=features.feature_time_ms,
        user=features.user,
        top_categories=features.top_categories,
        top_category_shares=features.top_category_shares,
        recent_items=features.recent_items,
        item={name: _pick(column, indices) for name, column in features.item.items()},
        item_category=[features.item_category[index] for index in indices] if features.item_category else [],
    )
