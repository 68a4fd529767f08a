"""Concept-drift alarm of one task, on matured labels only.

A drift is a change of what happens that the model did not foresee. So two series are watched: labels against the
probability that was *served* for them, and the rate of labels against its own past. A model that learns adapts within
hours and so hides a drift from the first, while the second moves also when the policy gets better or the mix of users
and items changes. Either may find a change, and the other must confirm it: a rate that the model foresaw is no drift,
nor is a model that wanders, or comes to predict right, while the rate stays. To name the right task in a funnel, feed
each stage given its parent (purchase among clicks: see `given_parent`); otherwise a click drift also moves the purchase
rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from math import log, sqrt
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.change_point import Adwin, ChangePoint, PageHinkley
from springtide.quality.config import DriftConfig
from springtide.quality.residual_blocks import BlockCutter, ResidualBlock
from springtide.quality.rows import Bools, Floats, State, as_floats

Series = Literal["residual", "rate"]

KEPT_BLOCKS = 4096
"""Blocks kept for restoring the detector and dating a change: weeks at demo traffic."""


def given_parent(
    probabilities_N: ArrayLike, parent_probabilities_N: ArrayLike, parent_labels_N: ArrayLike
) -> tuple[Floats, Bools]:
    """Return (P(task | parent) of shape (N,), mask of rows whose parent label is positive).

    Keep only the masked rows for the drift alarm of a funnel stage. The ratio is capped at 1.
    """
    child = as_floats("probabilities_N", probabilities_N)
    parent = np.maximum(as_floats("parent_probabilities_N", parent_probabilities_N), 1e-12)
    return np.minimum(child / parent, 1.0), as_floats("parent_labels_N", parent_labels_N) > 0.5


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """One firing."""

    task: str
    method: str
    found_in: Series
    """The series that found the change; the other confirmed it."""
    event_time_ms: int
    """Newest impression time in the block that fired."""
    change_time_ms: int
    """Estimated time of the change: end of the last block before it."""
    direction: str
    """"up" when more labels came than predicted, else "down"."""
    observed_over_expected: float
    """Labels over predictions in the blocks after the estimated change."""
    statistic: float
    rows_seen: int


class DriftDetector:
    """Sequential drift alarm over matured rows of one task."""

    def __init__(self, task: str, config: DriftConfig | None = None) -> None:
        self.task = task
        self.config = config or DriftConfig()
        self.alarms: list[DriftAlarm] = []
        self.rows_seen = 0
        self._cutter = BlockCutter(self.config.block_expected_positives, self.config.block_span_ms)
        self._start(from_ms=None, silent_ms=self.config.warm_up_ms)

    def _start(self, from_ms: int | None, silent_ms: int) -> None:
        self._from_ms = from_ms
        self._silent_ms = silent_ms
        self._armed = False
        self._blocks: deque[ResidualBlock] = deque(maxlen=KEPT_BLOCKS)
        watched: tuple[Series, ...] = ("residual",) if self.config.method == "adwin" else ("residual", "rate")
        self._tests = {series: self._new_test(series) for series in watched}

    def _new_test(self, series: Series) -> ChangePoint:
        config = self.config
        if config.method == "adwin":
            return Adwin(config.adwin_delta)
        threshold = config.threshold if series == "residual" else config.rate_threshold
        tolerated = config.tolerated_shift if series == "residual" else config.tolerated_rate_change
        return PageHinkley(
            delta=tolerated * sqrt(config.block_expected_positives),
            threshold=threshold,
            memory=float(config.baseline_memory_ms),
            hold_above=threshold / 4.0,
        )

    @property
    def armed(self) -> bool:
        """Whether the warm-up or cool-down is over."""
        return self._armed

    @property
    def statistic(self) -> float:
        """Evidence so far, of the series that has more: from 1 on a change is found, which the other must confirm.

        Of ADWIN the jump of its mean.
        """
        if self.config.method == "adwin":
            return self._tests["residual"].statistic
        levels: dict[Series, float] = {"residual": self.config.threshold, "rate": self.config.rate_threshold}
        return max(test.statistic / levels[series] for series, test in self._tests.items())

    def update(self, probabilities_N: ArrayLike, labels_N: ArrayLike, event_times_ms_N: ArrayLike) -> list[DriftAlarm]:
        """Add N matured rows, roughly in event-time order, and return the new alarms.

        Probabilities are those that were served. Errors as in `as_rows`.
        """
        times = np.asarray(event_times_ms_N, dtype=np.int64)
        if self._from_ms is None and len(times):
            self._from_ms = int(times.min())
        before = len(self.alarms)
        for block in self._cutter.cut(probabilities_N, labels_N, times):
            self.rows_seen += block.rows
            alarm = self._feed(block)
            if alarm is not None:
                self.alarms.append(alarm)
                self._start(from_ms=block.end_ms, silent_ms=self.config.cooldown_ms)
        return self.alarms[before:]

    def _feed(self, block: ResidualBlock) -> DriftAlarm | None:
        age_ms = block.end_ms - (self._from_ms or 0)
        if 2 * age_ms < self._silent_ms:
            return None
        elapsed = block.end_ms - self._blocks[-1].end_ms if self._blocks else 0
        self._blocks.append(block)
        if not self._armed and age_ms >= self._silent_ms:
            self._armed = True
            for test in self._tests.values():
                test.forget_evidence()
        for series, test in self._tests.items():
            if test.update(self._value(series, block), float(max(elapsed, 0))) and self._armed:
                alarm = self._alarm(series, test)
                if self._confirmed(alarm, test.run):
                    return alarm
                self._tests[series] = self._new_test(series)
        return None

    def _value(self, series: Series, block: ResidualBlock) -> float:
        """Return the block's shift, or log rate, in standard deviations of a block of the least size."""
        watched = block.shift if series == "residual" else log((block.labels + 0.5) / block.rows)
        return watched * sqrt(self.config.block_expected_positives)

    def _step(self, series: Series, run: int) -> float:
        """Return how far the series lies in its newest `run` blocks from where it lay before, 0 without a before."""
        values = [self._value(series, block) for block in self._blocks]
        start = max(len(values) - run, 0)
        return float(np.mean(values[start:]) - np.mean(values[:start])) if 0 < start < len(values) else 0.0

    def _alarm(self, series: Series, test: ChangePoint) -> DriftAlarm:
        blocks = list(self._blocks)
        start = max(len(blocks) - test.run, 0)
        after, block = blocks[start:], blocks[-1]
        labels, expected = sum(b.labels for b in after), sum(b.expected for b in after)
        up = self._step(series, test.run) > 0.0
        return DriftAlarm(
            task=self.task,
            method=self.config.method,
            found_in=series,
            event_time_ms=block.end_ms,
            change_time_ms=blocks[max(start - 1, 0)].end_ms,
            direction="up" if up else "down",
            observed_over_expected=labels / expected,
            statistic=test.statistic,
            rows_seen=self.rows_seen,
        )

    def _confirmed(self, alarm: DriftAlarm, run: int) -> bool:
        """Tell whether labels left the predictions since the change, and their rate its past, in its direction.

        ADWIN does not date a change well enough to tell.
        """
        if alarm.method == "adwin":
            return True
        sign = 1.0 if alarm.direction == "up" else -1.0
        after = list(self._blocks)[-run:]
        surprise = sum(b.labels - b.expected for b in after) / sqrt(sum(b.information for b in after))
        least = self.config.least_evidence
        off = sign * (alarm.observed_over_expected - 1.0)
        moved = sign * self._step("rate", run) * sqrt(len(after))
        enough = self.config.tolerated_shift / 2.0 if alarm.found_in == "residual" else 0.0
        return off > enough and sign * surprise > least and moved > least

    def to_dict(self) -> State:
        """Return the state as JSON-able values; the test itself is restored by replaying its blocks."""
        return {
            "task": self.task,
            "rows_seen": self.rows_seen,
            "from_ms": self._from_ms,
            "silent_ms": self._silent_ms,
            "open": self._cutter.open.to_list(),
            "blocks": [block.to_list() for block in self._blocks],
            "alarms": [asdict(alarm) for alarm in self.alarms],
        }

    @classmethod
    def from_dict(cls, state: State, config: DriftConfig | None = None) -> Self:
        """Return the detector that `to_dict` wrote, under the same configuration."""
        detector = cls(str(state["task"]), config)
        detector._start(state["from_ms"], int(state["silent_ms"]))
        for fields in state["blocks"]:
            detector._feed(ResidualBlock.from_list(fields))
        detector.rows_seen = int(state["rows_seen"])
        detector.alarms = [DriftAlarm(**alarm) for alarm in state["alarms"]]
        detector._cutter.open = ResidualBlock.from_list(state["open"])
        return detector
