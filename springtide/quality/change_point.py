"""Change detectors over a stream of numbers, behind one small interface."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Protocol


class ChangePoint(Protocol):
    """A sequential test for a change of the mean."""

    def update(self, value: float, elapsed: float = 1.0) -> bool:
        """Add one value, `elapsed` time units after the one before; return whether it fires."""

    def forget_evidence(self) -> None:
        """Drop what was gathered against the baseline, but keep the baseline."""

    @property
    def statistic(self) -> float:
        """The evidence that was compared with the alarm level at the last update."""

    @property
    def run(self) -> int:
        """How many of the newest values the test takes to lie after the change."""


@dataclass(slots=True)
class PageHinkley:
    """Two-sided Page-Hinkley test (Page 1954), the recursion of river's `PageHinkley` with alpha = 1.

    Its own code for three reasons: importing river costs 5 s of CPU, the evidence must be droppable
    after a warm-up, and the baseline must follow a model that keeps learning. With `memory` infinite
    it decides exactly as river does.
    """

    delta: float
    """Change of the mean that is tolerated, in units of the values."""
    threshold: float
    """Alarm level of the accumulated excess, in units of the values."""
    min_values: int = 1
    """Values before the test may fire."""
    memory: float = inf
    """Time constant of the baseline, in the unit of `elapsed`; infinite is the running mean."""
    hold_above: float = inf
    """Evidence above which the baseline stands still, so that a change cannot explain itself away."""
    count: int = 0
    mean: float = 0.0
    up: float = 0.0
    down: float = 0.0
    up_run: int = 0
    down_run: int = 0

    def update(self, value: float, elapsed: float = 1.0) -> bool:
        """Add one value and return whether the mean has changed."""
        self.count += 1
        if self.statistic <= self.hold_above:
            self.mean += (value - self.mean) * max(1.0 / self.count, min(elapsed / self.memory, 1.0))
        deviation = value - self.mean
        self.up = max(0.0, self.up + deviation - self.delta)
        self.down = max(0.0, self.down - deviation - self.delta)
        self.up_run = self.up_run + 1 if self.up > 0.0 else 0
        self.down_run = self.down_run + 1 if self.down > 0.0 else 0
        return self.count >= self.min_values and self.statistic > self.threshold

    def forget_evidence(self) -> None:
        """Set the accumulated excess of both sides to zero."""
        self.up = self.down = 0.0
        self.up_run = self.down_run = 0

    @property
    def statistic(self) -> float:
        """The larger of the two accumulated excesses."""
        return max(self.up, self.down)

    @property
    def run(self) -> int:
        """Values since the larger excess was last zero: Page's estimate of the change."""
        return self.up_run if self.up >= self.down else self.down_run


class Adwin:
    """ADWIN (Bifet and Gavalda 2007) from river, checked at every value."""

    def __init__(self, delta: float) -> None:
        from river.drift import ADWIN  # deferred: 5 s of CPU that only this method should pay

        self._detector = ADWIN(delta=delta, clock=1)
        self._last_mean = 0.0
        self._jump = 0.0

    def update(self, value: float, elapsed: float = 1.0) -> bool:
        """Add one value and return whether ADWIN cut its window."""
        self._last_mean = float(self._detector.estimation)
        self._detector.update(value)
        self._jump = abs(float(self._detector.estimation) - self._last_mean)
        return bool(self._detector.drift_detected)

    def forget_evidence(self) -> None:
        """Keep the window: ADWIN's baseline and evidence are one."""

    @property
    def statistic(self) -> float:
        """Jump of the window's mean at the last value."""
        return self._jump

    @property
    def run(self) -> int:
        """Values in the window that ADWIN kept."""
        return int(self._detector.width)
