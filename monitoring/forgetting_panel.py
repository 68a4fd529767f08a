"""What the daily model has kept of an old day, as the trainer reports it."""

from typing import Any

from monitoring.report_book import ReportBook
from springtide.contracts import metric_names as names


def forgetting_snapshot(book: ReportBook) -> dict[str, Any] | None:
    """Give the day's beginning and each task's NE then and now, or None before the trainer has looked back."""
    day_s = book.highest(names.FORGETTING_DAY)
    found = {(labels["task"], labels["moment"]): value for labels, value in book.values(names.FORGETTING, metric="ne")}
    if not day_s or not found:
        return None
    tasks = sorted({task for task, _ in found})
    return {
        "day_ms": int(day_s * 1000),
        "tasks": {task: {moment: found.get((task, moment)) for moment in ("then", "now")} for task in tasks},
    }
