"""The demo's story: start everything, let the simulated days pass, let the streams drain, measure.

A story is told by one view after another; it decides in which phase the run is and when it is over.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence

from local_stack.plan import Plan
from local_stack.processes import SIMULATOR
from local_stack.samples import Sample, total
from local_stack.watch import View
from springtide.contracts import metric_names

READERS = ("streaming_joiner", "streaming_features", "feature_store", "trainer")
"""Whose backlog must be empty before the run is measured."""

DEFAULT_DAYS = 7.0
"""Length of a story whose profile does not say."""

_CALM_LOOKS = 3
"""Looks in a row without backlog: one can fall between two polls of a reader."""


class Phase(enum.StrEnum):
    """Where a run stands."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    MEASURED = "done"


class Story:
    """Follows one run through its phases.

    Args:
        plan: the run.
        read_samples: gives every process's samples; asked only while draining.
    """

    def __init__(self, plan: Plan, read_samples: Callable[[], Sequence[Sample]]) -> None:
        self.phase = Phase.STARTING
        self.progress = 0.0
        is_replay = plan.value("simulator", "mode", "live") == "replay"
        self.days = 0.0 if is_replay else float(plan.value("simulator", "days", DEFAULT_DAYS))
        self.first_numbers_s: float | None = None
        self.ended_s: float | None = None
        self.drained = False
        self.backlog = 0
        """Messages that some reader has not taken yet, as last seen while draining."""
        self._drain_limit_s = plan.local_stack.drain_timeout.total_seconds()
        self._read_samples = read_samples
        self._calm = 0
        self._smallest_backlog = math.inf
        self._shrank_s = 0.0

    @property
    def day(self) -> float:
        """Simulated days gone by; 0 in a replay, whose length only its log knows."""
        return self.progress * self.days

    def advance(self, views: Sequence[View], elapsed_s: float) -> Phase:
        """Take a look into account and return the phase the run is in now.

        Args:
            views: every process as last seen.
            elapsed_s: wall time since the run's start, seconds.
        """
        teller = next((view for view in views if view.name == SIMULATOR), None)
        if teller is None:
            return self.phase
        self._note_progress(teller, elapsed_s)
        if self.phase is Phase.STARTING and teller.ready:
            self.phase = Phase.RUNNING
        if self.phase is Phase.RUNNING and has_told_all(teller):
            self.phase, self.ended_s = Phase.DRAINING, elapsed_s
        elif self.phase is Phase.DRAINING:
            self._drain(elapsed_s)
        return self.phase

    def _note_progress(self, teller: View, elapsed_s: float) -> None:
        # A restarted simulator tells nothing for a while; the story does not go back for that.
        self.progress = max(self.progress, float(teller.details.get("progress", 0.0)))
        if self.first_numbers_s is None and self.progress > 0:
            self.first_numbers_s = elapsed_s

    def _drain(self, elapsed_s: float) -> None:
        self.backlog = int(total(self._read_samples(), metric_names.CONSUMER_LAG))
        self._calm = self._calm + 1 if self.backlog == 0 else 0
        self.drained = self._calm >= _CALM_LOOKS
        if self.backlog < self._smallest_backlog:
            self._smallest_backlog, self._shrank_s = self.backlog, elapsed_s
        if self.drained or elapsed_s - self._shrank_s > self._drain_limit_s:
            self.phase = Phase.MEASURED


def has_told_all(teller: View) -> bool:
    """Return whether the simulator has nothing more to tell."""
    return teller.is_done or bool(teller.details.get("done"))
