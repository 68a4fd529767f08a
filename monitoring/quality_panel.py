"""Quality of what was served, per task and label maturity, the truth beside it; drift alarms on matured rows."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitoring.truth_book import TruthBook
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS, Task
from springtide.quality.config import DriftConfig
from springtide.quality.drift import DriftAlarm, DriftDetector, given_parent
from springtide.quality.expected import expected_figures
from springtide.quality.maturity_book import STATES, MaturityBook, ScoredRows
from springtide.quality.quality_book import QualityBook, QualityKey
from springtide.quality.task_quality import TaskQuality
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds

PARENT: Final[dict[Task, Task]] = {"cart": "click", "purchase": "click"}
"""The stage above, given which a task's drift is judged: else a click drift would alarm for purchases too."""

Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


class QualityPanel:
    """Reads rows in batches; scores are those that serving logged.

    Args:
        labels: when labels close.
        drift: of each task's alarm.
        slot_ms: resolution of the window, event time.
        window_ms: event time over which figures are taken.
        segment: `device` or `country`: by which field of the context figures and delays are told apart.
    """

    def __init__(
        self, labels: LabelsConfig, drift: DriftConfig, *, slot_ms: int, window_ms: int, segment: str = "device"
    ) -> None:
        self._closed_early = {task for task in TASKS if labels.attribution[task] <= labels.observed_age}
        self._observed_age_ms = milliseconds(labels.observed_age)
        self._window_ms, self._segment = window_ms, segment
        self._books = {
            task: MaturityBook(task, milliseconds(labels.attribution[task]), slot_ms, window_ms) for task in TASKS
        }
        self._beside = QualityBook(slot_ms=slot_ms, slots=max(2, 2 * window_ms // slot_ms), max_keys=64)
        """Figures that are no estimates: naive ones, and the truth's own."""
        self._detectors = {task: DriftDetector(task, replace(drift)) for task in TASKS}
        self._true_sums = {task: [0.0, 0.0, 0.0] for task in TASKS}
        self.alarms: list[DriftAlarm] = []

    def add(self, rows: list[Sample], truth: TruthBook) -> list[DriftAlarm]:
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
                self._add_young(task, [row for row in scored if row.phase == "observed"])
        self.alarms += raised
        return raised

    def _add_matured(self, task: Task, rows: list[Sample], truth: TruthBook) -> None:
        p_N, y_N, time_N = _columns(task, rows)
        delay_N = np.concatenate([np.asarray(row.delays_ms[task], dtype=np.float64) for row in rows])
        self._books[task].add_matured(self._scored(rows, (p_N, y_N, time_N)), delay_N)
        true_N = _true_probabilities(task, rows, truth)
        known_N = np.isfinite(true_N)
        if known_N.any():
            self._beside.update(QualityKey(task, "oracle"), true_N[known_N], y_N[known_N], time_N[known_N])
            sums = self._true_sums[task]
            sums[0] += float(p_N[known_N].sum())
            sums[1] += float(true_N[known_N].sum())

    def _add_young(self, task: Task, rows: list[Sample]) -> None:
        if not rows:
            return
        p_N, y_N, time_N = columns = _columns(task, rows)
        self._beside.update(QualityKey(task, "naive"), p_N, y_N, time_N)
        ages_N = np.full(len(p_N), float(self._observed_age_ms))
        self._books[task].add_young(self._scored(rows, columns), ages_N)

    def _scored(self, rows: list[Sample], columns: Columns) -> ScoredRows:
        sizes = [len(row.item_ids) for row in rows]
        return ScoredRows(
            probabilities_N=columns[0],
            labels_N=columns[1],
            times_ms_N=columns[2],
            segments_N=np.repeat(np.array([getattr(row.context, self._segment) for row in rows], np.str_), sizes),
            versions_N=np.repeat(np.array([base_of(row.model_version) for row in rows], np.str_), sizes),
        )

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
            "segment": self._segment,
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
        book = self._books[task]
        qualities = {state: book.quality(state) for state in STATES} | {
            name: self._beside.pooled(task, name, window_ms=self._window_ms) for name in ("naive", "oracle")
        }
        for maturity, quality in qualities.items():
            if quality.rows:
                found[maturity] = _estimated(quality) if maturity == "estimated" else _measured(quality)
        found["parts"] = [
            {"kind": kind, "name": name, "state": state, **(_estimated if state == "estimated" else _measured)(quality)}
            for state in STATES
            for kind, parts in (("segment", book.by_segment(state)), ("version", book.by_version(state)))
            for name, quality in parts.items()
        ]
        share = book.curves.pooled().completeness([self._observed_age_ms])
        found["completeness"] = None if share is None else float(share[0])
        predicted, true, _ = self._true_sums[task]
        found["true_calibration"] = predicted / true if true else None
        found["drift_statistic"] = self._detectors[task].statistic
        found["drift_armed"] = self._detectors[task].armed
        return found


def base_of(version: str) -> str:
    """Return the base that a version descends from: `minute-3.12` is `minute-3`, so a day's deltas count as one."""
    return version.rpartition(".")[0] or version


def _measured(quality: TaskQuality) -> dict[str, Any]:
    report = quality.report()
    return {
        "rows": report.rows,
        "positives": report.positives,
        "base_rate": report.base_rate,
        "ne": report.normalized_entropy,
        "auc": report.auc,
        "calibration": report.calibration,
        "calibration_interval": report.calibration_interval,
        "log_loss": report.log_loss,
    }


def _estimated(quality: TaskQuality) -> dict[str, Any]:
    """Give what a model expects of itself; its calibration is 1 by assumption, so there is none to tell."""
    expected = expected_figures(quality)
    told = {name: each.value for name, each in expected.items()}
    intervals = {f"{name}_interval": (each.low, each.high) for name, each in expected.items()}
    none: dict[str, Any] = dict.fromkeys(("base_rate", "ne", "auc", "log_loss"))
    return {
        "rows": quality.rows,
        "positives": quality.entropy.sum_label,
        "calibration": None,
        **none,
        **told,
        **intervals,
    }


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
