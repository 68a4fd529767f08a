"""One task's figures in three states that are never mixed, in all, by segment and by model version.

matured: labels whose window has closed. corrected: younger rows, each label over the share F(age) of its segment's
labels that has come by then (inverse probability of censoring weights; Yasui et al. 2020, arXiv 2002.02068): unbiased
where F fits the segment and delays do not follow the score inside it; intervals take F as known. estimated: the same
younger rows before any label counts (expected.py): the model's own word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from springtide.quality.label_maturity import inverse_completeness
from springtide.quality.quality_book import QualityBook, QualityKey
from springtide.quality.rows import Bools, Floats, Ints
from springtide.quality.segment_maturity import SegmentedDelayCurve
from springtide.quality.task_quality import TaskQuality

State = Literal["matured", "corrected", "estimated"]
STATES: Final[tuple[State, ...]] = ("matured", "corrected", "estimated")
PARTS_PER_WINDOW: Final = 4
"""Slots that a window of a segment or a version is made of: coarser than the whole's, since there are many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredRows:
    """N rows of one task, each column of shape (N,)."""

    probabilities_N: Floats
    labels_N: Floats
    """As they are now."""
    times_ms_N: Ints
    """Of the impressions."""
    segments_N: NDArray[np.str_]
    versions_N: NDArray[np.str_]
    """Of the models that gave the probabilities."""

    def chosen(self, rows_N: Bools) -> ScoredRows:
        """Return some of the rows."""
        return ScoredRows(
            probabilities_N=self.probabilities_N[rows_N],
            labels_N=self.labels_N[rows_N],
            times_ms_N=self.times_ms_N[rows_N],
            segments_N=self.segments_N[rows_N],
            versions_N=self.versions_N[rows_N],
        )


@dataclass(slots=True)
class MaturityBook:
    """Figures over the newest `window_ms` of event time of each state."""

    task: str
    attribution_ms: int
    """Age at which labels are closed."""
    slot_ms: int
    window_ms: int
    curves: SegmentedDelayCurve = field(init=False)
    whole: QualityBook = field(init=False)
    parts: QualityBook = field(init=False)

    def __post_init__(self) -> None:
        self.curves = SegmentedDelayCurve(self.attribution_ms)
        self.whole = QualityBook(self.slot_ms, max(2, 2 * self.window_ms // self.slot_ms))
        self.parts = QualityBook(max(self.slot_ms, self.window_ms // PARTS_PER_WINDOW), 2 * PARTS_PER_WINDOW, 128)

    def add_matured(self, rows: ScoredRows, delays_ms_N: Floats) -> None:
        """Take rows whose labels are closed, each once.

        Args:
            rows: with final labels.
            delays_ms_N: of the labels after the impressions, -1 where there is none; F is learned from them.
        """
        self._add("matured", rows, rows.labels_N)
        labelled_N = delays_ms_N >= 0.0
        self.curves.add(delays_ms_N[labelled_N], rows.segments_N[labelled_N].tolist())

    def add_young(self, rows: ScoredRows, ages_ms_N: Floats) -> None:
        """Take rows whose labels may still come, each once, with the age at which their labels were looked at."""
        self._add("estimated", rows, rows.probabilities_N)
        completeness_N = self.curves.completeness(ages_ms_N, rows.segments_N.tolist())
        if completeness_N is not None:
            corrected_N, kept_N = inverse_completeness(rows.labels_N, completeness_N)
            self._add("corrected", rows.chosen(kept_N), corrected_N[kept_N])

    def quality(self, state: State) -> TaskQuality:
        """Return a state's figures over the window."""
        return self.whole.pooled(self.task, state, window_ms=self.window_ms)

    def by_segment(self, state: State) -> dict[str, TaskQuality]:
        """Return a state's figures per segment over the window, where there are rows."""
        return {key.segment: quality for key, quality in self._parts(state) if key.segment}

    def by_version(self, state: State) -> dict[str, TaskQuality]:
        """Return a state's figures per model version over the window, where there are rows."""
        return {key.model_version: quality for key, quality in self._parts(state) if key.model_version}

    def _add(self, state: State, rows: ScoredRows, labels_N: Floats) -> None:
        p_N, times_N = rows.probabilities_N, rows.times_ms_N
        self.whole.update(QualityKey(self.task, state), p_N, labels_N, times_N)
        for name, values_N in (("segment", rows.segments_N), ("model_version", rows.versions_N)):
            for value in np.unique(values_N):
                if value:
                    chosen_N = values_N == value
                    key = QualityKey(self.task, state, **{name: str(value)})
                    self.parts.update(key, p_N[chosen_N], labels_N[chosen_N], times_N[chosen_N])

    def _parts(self, state: State) -> list[tuple[QualityKey, TaskQuality]]:
        windows = {key: window for key, window in self.parts.windows.items() if key.maturity == state}
        newest = max((slot for window in windows.values() if (slot := window.newest_slot) is not None), default=0)
        until_ms = (newest + 1) * self.parts.slot_ms
        found = [(key, window.over(self.window_ms, until_ms)) for key, window in sorted(windows.items())]
        return [(key, quality) for key, quality in found if quality.rows]
