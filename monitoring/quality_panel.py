"""Quality of what was served, per task and label maturity, the truth beside it; drift alarms on matured rows."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitoring.join_panel import JoinPanel
from monitoring.truth_book import TruthBook
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS, Task
from springtide.quality.config import DriftConfig
from springtide.quality.drift import DriftAlarm, DriftDetector, given_parent
from springtide.quality.label_maturity import inverse_completeness
from springtide.quality.quality_book import QualityBook, QualityKey
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds

PARENT: Final[dict[Task, Task]] = {"cart": "click", "purchase": "click"}
"""The stage above, given which a task's drift is judged: else a click drift would alarm for purchases too."""

Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


class QualityPanel:
    """Reads rows in batches; scores are those that serving logged."""

    def __init__(self, labels: LabelsConfig, drift: DriftConfig, *, slot_ms: int, window_ms: int) -> None:
        self._closed_early = {task for task in TASKS if labels.attribution[task] <= labels.observed_age}
        self._observed_age_ms = milliseconds(labels.observed_age)
        self._window_ms = window_ms
        self._book = QualityBook(slot_ms=slot_ms, slots=max(2, 2 * window_ms // slot_ms), max_keys=64)
        self._detectors = {task: DriftDetector(task, replace(drift)) for task in TASKS}
        self._true_sums = {task: [0.0, 0.0, 0.0] for task in TASKS}
        self.alarms: list[DriftAlarm] = []

    def add(self, rows: list[Sample], join: JoinPanel, truth: TruthBook) -> list[DriftAlarm]:
        """Take new rows, each once; returns the alarms that they raised."""
        scored = [row for row in rows if row.scores and row.phase != "corrected"]
        raised: list[DriftAlarm] = []
        for task in TASKS:
            phase = "observed" if task in self._closed_early else "final"
            matured = [row for row in scored if row.phase == phase]
            if matured:
                self._add_matured(task, matured, truth)
                raised += self._watch(task, matured)
            if phase == "final":
                self._add_provisional(task, [row for row in scored if row.phase == "observed"], join)
        self.alarms += raised
        return raised

    def _add_matured(self, task: Task, rows: list[Sample], truth: TruthBook) -> None:
        p_N, y_N, time_N = _columns(task, rows)
        self._book.update(QualityKey(task, "matured"), p_N, y_N, time_N)
        true_N = _true_probabilities(task, rows, truth)
        known_N = np.isfinite(true_N)
        if known_N.any():
            self._book.update(QualityKey(task, "oracle"), true_N[known_N], y_N[known_N], time_N[known_N])
            sums = self._true_sums[task]
            sums[0] += float(p_N[known_N].sum())
            sums[1] += float(true_N[known_N].sum())

    def _add_provisional(self, task: Task, rows: list[Sample], join: JoinPanel) -> None:
        if not rows:
            return
        p_N, y_N, time_N = _columns(task, rows)
        self._book.update(QualityKey(task, "naive"), p_N, y_N, time_N)
        share = join.completeness(task, self._observed_age_ms)
        if share is None:
            return
        corrected_N, kept_N = inverse_completeness(y_N, np.full(len(y_N), share))
        if kept_N.all():
            # labels over F as weighted positives and the rest as weighted negatives: w = y/F, and 1 - y/F
            p_2N = np.concatenate([p_N, p_N])
            y_2N = np.concatenate([np.ones(len(p_N)), np.zeros(len(p_N))])
            w_2N = np.concatenate([corrected_N, np.maximum(1.0 - corrected_N, 0.0)])
            self._book.update(QualityKey(task, "corrected"), p_2N, y_2N, np.concatenate([time_N, time_N]), w_2N)

    def _watch(self, task: Task, rows: list[Sample]) -> list[DriftAlarm]:
        ordered = sorted(rows, key=lambda row: row.impression_time_ms)
        p_N, y_N, time_N = _columns(task, ordered)
        if task in PARENT:
            parent_p_N, parent_y_N, _ = _columns(PARENT[task], ordered)
            p_N, mask_N = given_parent(p_N, parent_p_N, parent_y_N)
            p_N, y_N, time_N = p_N[mask_N], y_N[mask_N], time_N[mask_N]
        return self._detectors[task].update(p_N, y_N, time_N) if len(p_N) else []

    def snapshot(self) -> dict[str, Any]:
        """Give per task and maturity the figures over the newest window, and the alarms."""
        return {
            "tasks": {task: self._task(task) for task in TASKS},
            "alarms": [
                {
                    "task": alarm.task,
                    "event_time_ms": alarm.event_time_ms,
                    "change_time_ms": alarm.change_time_ms,
                    "direction": alarm.direction,
                    "observed_over_expected": alarm.observed_over_expected,
                }
                for alarm in self.alarms
            ],
        }

    def _task(self, task: Task) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for maturity in ("matured", "corrected", "naive", "oracle"):
            report = self._book.pooled(task, maturity, window_ms=self._window_ms).report()
            if report.rows:
                found[maturity] = {
                    "rows": report.rows,
                    "positives": report.positives,
                    "base_rate": report.base_rate,
                    "ne": report.normalized_entropy,
                    "auc": report.auc,
                    "calibration": report.calibration,
                    "calibration_interval": report.calibration_interval,
                    "log_loss": report.log_loss,
                }
        predicted, true, _ = self._true_sums[task]
        found["true_calibration"] = predicted / true if true else None
        found["drift_statistic"] = self._detectors[task].statistic
        found["drift_armed"] = self._detectors[task].armed
        return found


def _columns(task: Task, rows: list[Sample]) -> Columns:
    p_N = np.concatenate([np.asarray(row.scores[task], dtype=np.float64) for row in rows])
    y_N = np.concatenate([np.asarray(row.labels[task], dtype=np.float64) for row in rows])
    time_N = np.repeat([row.impression_time_ms for row in rows], [len(row.item_ids) for row in rows])
    return p_N, y_N, time_N.astype(np.int64)


def _true_probabilities(task: Task, rows: list[Sample], truth: TruthBook) -> NDArray[np.float64]:
    columns = []
    for row in rows:
        slate = truth.slates.get(row.request_id)
        if slate is None or task not in slate.probabilities:
            columns.append(np.full(len(row.item_ids), np.nan))
        else:
            by_item = dict(zip(slate.item_ids, slate.probabilities[task], strict=True))
            columns.append(np.array([by_item.get(item, np.nan) for item in row.item_ids]))
    return np.concatenate(columns) if columns else np.zeros(0)
