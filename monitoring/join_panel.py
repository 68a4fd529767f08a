"""Label-join lag: how complete labels are by age, how far the join is behind, and whether its ledger balances."""

from typing import Any, Final

import numpy as np

from monitoring.report_book import ReportBook
from springtide.contracts import metric_names as names
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS, Task
from springtide.quality.label_maturity import DelayCurve
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds

LABEL_OUTCOMES: Final = ("in", "matched", "duplicate", "late", "orphan_expired")
_CURVE_POINTS: Final = 40


class JoinPanel:
    """Delay curves from final rows; everything else from the joiner's own counters."""

    def __init__(self, labels: LabelsConfig) -> None:
        self._curves = {task: DelayCurve(window_ms=milliseconds(labels.attribution[task])) for task in TASKS}
        self.rows: dict[str, int] = {"observed": 0, "corrected": 0, "final": 0}

    def add(self, rows: list[Sample]) -> None:
        """Take new rows of topic `samples`, each row once."""
        for row in rows:
            self.rows[row.phase] = self.rows.get(row.phase, 0) + 1
        final = [row for row in rows if row.phase == "final"]
        for task in TASKS:
            delays = [delay for row in final for delay in row.delays_ms.get(task, ()) if delay >= 0]
            if delays:
                self._curves[task].add(np.array(delays, dtype=np.float64))

    def snapshot(self, book: ReportBook, now_ms: int) -> dict[str, Any]:
        """Give the panel's newest state; `now_ms` is the simulated clock."""
        watermark = book.lowest(names.WATERMARK, stage="joiner")
        p50, p99 = book.quantiles(names.JOIN_EMIT_WALL, (0.5, 0.99))
        event_p50, event_p99 = book.quantiles(names.JOIN_WAIT, (0.5, 0.99))
        labels = {
            task: {
                **{outcome: book.total(names.LABELS, task=task, outcome=outcome) for outcome in LABEL_OUTCOMES},
                "waiting": book.total(names.LABELS_WAITING, task=task),
            }
            for task in TASKS
        }
        slates = {outcome: book.total(names.SLATES, outcome=outcome) for outcome in ("in", "final", "dropped")}
        slates["open"] = book.total(names.SLATES_OPEN)
        return {
            "watermark_lag_s": None if watermark is None or not now_ms else now_ms / 1000 - watermark,
            "emit_wall_p50_s": p50,
            "emit_wall_p99_s": p99,
            "event_wait_p50_s": event_p50,
            "event_wait_p99_s": event_p99,
            "impressions_open": book.total(names.IMPRESSIONS_OPEN),
            "slates": slates,
            "slates_residual": slates["in"] - slates["final"] - slates["dropped"] - slates["open"],
            "labels": labels,
            "labels_residual": {task: _residual(counts) for task, counts in labels.items()},
            "duplicates": book.total(names.DUPLICATES, process="joiner"),
            "dead_letters": book.total(names.DEAD_LETTERS),
            "rows": dict(self.rows),
            "curves": {task: self._curve(task) for task in TASKS},
        }

    def _curve(self, task: Task) -> dict[str, Any]:
        curve = self._curves[task]
        edges = curve.edges_ms[1:]
        shares = curve.completeness(edges)
        step = max(1, len(edges) // _CURVE_POINTS)
        return {
            "labels": curve.count,
            "age_s": [float(edge) / 1000 for edge in edges[::step]],
            "share": [] if shares is None else [float(share) for share in shares[::step]],
            "p50_s": _seconds(curve.quantile_ms(0.5)),
            "p95_s": _seconds(curve.quantile_ms(0.95)),
        }


def _seconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1000


def _residual(counts: dict[str, float]) -> float:
    taken = ("matched", "duplicate", "late", "orphan_expired", "waiting")
    return counts["in"] - sum(counts[outcome] for outcome in taken)
