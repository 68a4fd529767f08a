"""Whether the daily chain still knows an old day: some of one day's archived rows, scored by every later base.

"Then" is the score of the base that had just learned the day, "now" that of the newest. Both have learned those rows,
so what is lost between them is forgotten, or no longer true: a drifting world asks for some of it.
"""

from typing import Any

import msgspec

from springtide.quality.task_quality import TaskQuality
from trainer.archive import Archive
from trainer.day_lesson import Group, Step

Figures = dict[str, dict[str, float]]
"""By task, then ne, calibration and base_rate."""


class OldDay(msgspec.Struct, kw_only=True):
    """The day that is watched; kept in checkpoints."""

    day: int
    then: Figures
    now: Figures


def watched_day(old: OldDay | None, day: int, learned_days: int, wanted: int) -> int | None:
    """Return the day to score after `day` was learned, or None.

    Args:
        old: the day watched so far; none yet.
        day: just learned.
        learned_days: how many days the chain has learned, this one included.
        wanted: which of them is watched, counted from 1; 0: none.
    """
    if not wanted:
        return None
    if old is not None:
        return old.day
    return day if learned_days >= wanted else None


def watched(old: OldDay | None, day: int, figures: Figures) -> OldDay:
    """Return what is known of the day after it was scored once more."""
    return OldDay(day=day, then=old.then if old is not None else figures, now=figures)


def score_old_day(group: Group, archive: Archive, day: int, rows: int, step: Step) -> Figures:
    """Score about `rows` of the day's archived rows on all ranks; changes nothing that is learned.

    Raises:
        StateError: an archived file is missing or damaged.
    """
    archived = archive.read_day(day)
    share = min(1.0, rows / max(1, archived.rows))
    group.call("open_archived_day", day, archived.parts, share)
    group.call("order_day", None)
    judged = step("score").judged
    group.call("close_day")
    qualities: dict[str, TaskQuality] = {}
    for part in judged:
        quality = qualities.setdefault(part.task, TaskQuality())
        quality.update(part.probabilities_N, part.labels_N, part.weights_N)
    return {task: _figures(quality) for task, quality in qualities.items()}


def _figures(quality: TaskQuality) -> dict[str, float]:
    report = quality.report()
    values: dict[str, Any] = {
        "ne": report.normalized_entropy, "calibration": report.calibration, "base_rate": report.base_rate
    }  # fmt: skip
    return {name: float(value) for name, value in values.items() if value is not None}
