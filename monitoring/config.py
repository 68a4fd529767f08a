"""Settings of section `monitoring`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitoringConfig:
    """The page and what it keeps."""

    port: int = 18080
    """TCP port of the page."""
    token: str = ""
    """What a control command must carry; empty: made at start and printed."""
    sample_every: timedelta = timedelta(seconds=1)
    """Wall time between two points of every chart."""
    max_points: int = 1_500
    """Points that a chart keeps; beyond it the older half is thinned to every second point."""
    quality_window: timedelta = timedelta(days=1)
    """Event time over which quality figures are taken."""
    quality_slot: timedelta = timedelta(hours=1)
    """Resolution of that window, event time."""
    segment: Literal["device", "country"] = "device"
    """Field of a request's context by which quality and label delays are told apart."""
    experiment_level: float = 0.05
    """Share of false calls accepted for an experiment's verdict, 0 to 1."""
    drift_warm_up: timedelta = timedelta(hours=72)
    """Event time from the first sample in which no drift alarm fires: model and policy are still learning."""
    status_every: timedelta = timedelta(hours=1)
    """Event time that a stage may lag behind the simulated clock before the page calls it behind."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if not 0 <= self.port <= 65535:
            yield f"monitoring.port: expected 0 to 65535, got {self.port}; choose a free port"
        if self.max_points < 10:
            yield f"monitoring.max_points: expected at least 10, got {self.max_points}; raise it"
        if not 0 < self.experiment_level < 1:
            yield f"monitoring.experiment_level: expected between 0 and 1, got {self.experiment_level}; try 0.05"
        if self.quality_slot > self.quality_window:
            yield (
                f"monitoring.quality_slot: expected at most quality_window ({self.quality_window}), "
                f"got {self.quality_slot}; lower it"
            )
