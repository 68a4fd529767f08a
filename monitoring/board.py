"""All that the page shows, as one value; pure, fed by feed.py and read by app.py."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from monitoring.config import MonitoringConfig
from monitoring.experiment_panel import ExperimentPanel
from monitoring.forgetting_panel import forgetting_snapshot
from monitoring.join_panel import JoinPanel
from monitoring.loop_panel import loop_snapshot
from monitoring.model_panel import ModelPanel
from monitoring.quality_panel import QualityPanel
from monitoring.report_book import ReportBook
from monitoring.row_filter import RowFilter
from monitoring.series import SeriesStore
from monitoring.truth_book import TruthBook
from springtide.contracts import metric_names as names
from springtide.contracts.bundle import ModelSwap, ModelUpdate
from springtide.contracts.reports import Mark, ProcessReport
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.truth import AnyTruth
from springtide.quality.config import DriftConfig
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds


class Board:
    """Thread-safe: a feeding thread adds, the web server reads."""

    def __init__(self, config: MonitoringConfig, labels: LabelsConfig) -> None:
        self._lock = threading.Lock()
        self._book = ReportBook()
        self._truth = TruthBook()
        self._join = JoinPanel(labels)
        drift = replace(DriftConfig(), warm_up_ms=milliseconds(config.drift_warm_up))
        self._quality = QualityPanel(
            labels, drift, slot_ms=milliseconds(config.quality_slot), window_ms=milliseconds(config.quality_window),
            segment=config.segment,
        )  # fmt: skip
        self._experiments = ExperimentPanel(level=config.experiment_level)
        self._models = ModelPanel()
        self._fresh = RowFilter(milliseconds(labels.final_age) * 2)
        self._series = SeriesStore(config.max_points)
        self._marks: deque[tuple[int, Mark]] = deque(maxlen=500)
        self._newest: dict[str, Any] = {}

    def add_reports(self, reports: list[ProcessReport]) -> None:
        """Take reports of topic `metrics`."""
        with self._lock:
            for report in reports:
                self._book.add(report)
                for mark in report.marks:
                    self._mark(mark)
                for swap in report.swaps:
                    self._models.add_swap(swap)
                    self._mark(_swap_mark(swap))

    def add_rows(self, rows: list[Sample]) -> list[Mark]:
        """Take rows of topic `samples`; repeated ones are dropped. Returns the alarms raised."""
        with self._lock:
            fresh = self._fresh.take(rows)
            self._join.add(fresh)
            marks = [
                Mark(
                    kind="alarm",
                    text=f"{alarm.task} drifts {alarm.direction}: {alarm.observed_over_expected:.2f} of expected",
                    event_time_ms=alarm.event_time_ms,
                    wall_time_ms=0,
                    task=alarm.task,
                )
                for alarm in self._quality.add(fresh, self._truth)
            ]
            marks += [
                Mark(kind="srm", text=f"{name}: sample-ratio mismatch", event_time_ms=when, wall_time_ms=0)
                for name, when in self._experiments.add(fresh)
            ]
            for mark in marks:
                self._mark(mark)
            return marks

    def add_truth(self, messages: list[AnyTruth]) -> None:
        """Take messages of topic `truth`."""
        with self._lock:
            for message in messages:
                self._truth.add(message)
            while self._truth.unseen:
                change = self._truth.unseen.popleft()
                text = f"{change.kind} {change.task or ''} ×{change.factor:g} {change.detail}".strip()
                self._mark(Mark(kind="truth", text=text, event_time_ms=change.event_time_ms, wall_time_ms=0))

    def add_updates(self, updates: list[ModelUpdate]) -> None:
        """Take announcements of topic `model-updates`."""
        with self._lock:
            for update in updates:
                self._models.add_update(update)

    def sample(self, wall_ms: int) -> None:
        """Add one point to every chart and remember the panels' state."""
        with self._lock:
            now_ms = int((self._book.highest(names.SIMULATED_TIME) or 0) * 1000)
            newest = {
                "wall_ms": wall_ms,
                "now_ms": now_ms,
                "loop": loop_snapshot(self._book, wall_ms),
                "join": self._join.snapshot(self._book, now_ms),
                "quality": self._quality.snapshot(),
                "forgetting": forgetting_snapshot(self._book),
                "experiments": self._experiments.snapshot(),
                "models": self._models.snapshot(self._book, now_ms),
                "truth": self._truth.snapshot(),
            }
            self._newest = newest
            if now_ms:
                self._series.add(now_ms, chart_points(newest))

    def quality(self) -> dict[str, Any]:
        """Give the quality panel's newest figures per task; nothing before the first sample."""
        with self._lock:
            tasks: dict[str, Any] = self._newest.get("quality", {}).get("tasks", {})
            return tasks

    def message(self, since: int) -> tuple[int, dict[str, Any]]:
        """Give (sequence, what a page that has seen `since` needs): panels, new points, new marks."""
        with self._lock:
            sequence = self._series.sequence
            if since > sequence:
                since = 0  # the page knew an earlier run of this process
            return sequence, {
                "sequence": sequence,
                "full": since == 0,
                "panels": self._newest,
                "series": self._series.since(since),
                "marks": [msgspec.to_builtins(mark) for number, mark in self._marks if number >= since],
            }

    def _mark(self, mark: Mark) -> None:
        self._marks.append((self._series.sequence, mark))


def _swap_mark(swap: ModelSwap) -> Mark:
    kind, text = "swap", swap.version
    if swap.refused:
        kind, text = "refused", f"{swap.arm} refuses {swap.version}: {swap.refused}"
    elif swap.rolled_back:
        kind, text = "rollback", f"{swap.arm} goes back to {swap.version}: {swap.rolled_back}"
    return Mark(kind=kind, text=text, event_time_ms=swap.event_time_ms, wall_time_ms=0)


def chart_points(newest: Mapping[str, Any]) -> dict[str, float | None]:
    """Name every line of every chart and give its newest value."""
    join, loop, truth = newest["join"], newest["loop"], newest["truth"]["recent"]
    points: dict[str, float | None] = {
        "rate/events": loop["edges"]["events"],
        "rate/requests": loop["edges"]["requests"],
        "rate/samples": loop["edges"]["samples"],
        "lag/watermark_s": join["watermark_lag_s"],
        "lag/emit_p50_s": join["emit_wall_p50_s"],
        "lag/emit_p99_s": join["emit_wall_p99_s"],
        "lag/impressions_open": join["impressions_open"],
        "latency/p50_s": loop["request_p50_s"],
        "latency/p99_s": loop["request_p99_s"],
        "truth/clicks": truth["clicks"],
        "truth/purchases": truth["purchases"],
    }
    for stage in newest["models"]["waterfall"]:
        points[f"freshness/{stage['stage']}"] = stage["age_s"]
    for task in TASKS:
        for maturity, figures in newest["quality"]["tasks"][task].items():
            if isinstance(figures, dict):
                for figure in ("ne", "auc", "calibration"):
                    points[f"{figure}/{task}/{maturity}"] = figures[figure]
        points[f"drift/{task}"] = newest["quality"]["tasks"][task]["drift_statistic"]
    return points
