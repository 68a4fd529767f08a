"""Concept-drift alarm of one task, on matured labels only.

The alarm reads labels against the probability that was served for them. A model that learns adapts
to a drift and hides it from calibration within hours; the residual of the *served* probability still
shows the hours in between. To name the right task in a funnel, feed each stage given its parent
(purchase among clicks: see `given_parent`); otherwise a click drift also moves the purchase rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.change_point import Adwin, ChangePoint, PageHinkley
from springtide.quality.config import DriftConfig
from springtide.quality.residual_blocks import BlockCutter, ResidualBlock
from springtide.quality.rows import Bools, Floats, State, as_floats

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
        self._test = self._new_test()

    def _new_test(self) -> ChangePoint:
        config = self.config
        if config.method == "adwin":
            return Adwin(config.adwin_delta)
        return PageHinkley(
            delta=config.tolerated_shift * sqrt(config.block_expected_positives),
            threshold=config.threshold,
            memory=float(config.baseline_memory_ms),
            hold_above=config.threshold / 4.0,
        )

    @property
    def armed(self) -> bool:
        """Whether the warm-up or cool-down is over."""
        return self._armed

    @property
    def statistic(self) -> float:
        """Evidence so far; for Page-Hinkley comparable with `config.threshold`."""
        return self._test.statistic

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
            if self._feed(block):
                alarm = self._alarm(block)
                if self._away(alarm):
                    self.alarms.append(alarm)
                self._start(from_ms=block.end_ms, silent_ms=self.config.cooldown_ms)
        return self.alarms[before:]

    def _feed(self, block: ResidualBlock) -> bool:
        age_ms = block.end_ms - (self._from_ms or 0)
        if 2 * age_ms < self._silent_ms:
            return False
        elapsed = block.end_ms - self._blocks[-1].end_ms if self._blocks else 0
        self._blocks.append(block)
        if not self._armed and age_ms >= self._silent_ms:
            self._armed = True
            self._test.forget_evidence()
        fired = self._test.update(self._residual(block), float(max(elapsed, 0)))
        return fired and self._armed

    def _residual(self, block: ResidualBlock) -> float:
        """Return the block's shift in standard deviations of a block of the least size."""
        return block.shift * sqrt(self.config.block_expected_positives)

    def _alarm(self, block: ResidualBlock) -> DriftAlarm:
        blocks = list(self._blocks)
        start = max(len(blocks) - self._test.run, 0)
        after = blocks[start:]
        labels, expected = sum(b.labels for b in after), sum(b.expected for b in after)
        residuals = np.array([self._residual(b) for b in blocks])
        up = residuals[start:].mean() > (residuals[:start].mean() if start else 0.0)
        return DriftAlarm(
            task=self.task,
            method=self.config.method,
            event_time_ms=block.end_ms,
            change_time_ms=blocks[max(start - 1, 0)].end_ms,
            direction="up" if up else "down",
            observed_over_expected=labels / expected,
            statistic=self._test.statistic,
            rows_seen=self.rows_seen,
        )

    def _away(self, alarm: DriftAlarm) -> bool:
        """Tell whether labels moved away from predictions; towards them is a model that has learned, no drift.

        ADWIN does not date the change well enough to tell.
        """
        if alarm.method == "adwin":
            return True
        off = alarm.observed_over_expected - 1.0
        return (off if alarm.direction == "up" else -off) > self.config.tolerated_shift / 2.0

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
