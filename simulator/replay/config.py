"""Section `[replay]`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from springtide.runtime.config import LabelsConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayConfig:
    """Which log is replayed, and how."""

    file: Path = Path()
    """The log: delimited text, gzipped when it ends in .gz."""
    mapping: Path = Path("config/replay/retailrocket.toml")
    """Which column is what, and which word means which behaviour."""
    speed: float = 0.0
    """Event time per wall time; 0: as fast as the feature job follows."""
    step: timedelta = timedelta(hours=1)
    """Event time between two ticks."""
    features_within: timedelta = timedelta(days=1)
    """Event time that logged features may lag behind; 0: log no features."""
    patience: timedelta = timedelta(seconds=30)
    """Wall time that the replay waits for a feature job that makes no progress."""
    checkpoint_every: int = 24
    """Steps between two checkpoints."""
    duplicates: float = 0.0
    """Share of events told twice, 0 to 1."""
    out_of_order: float = 0.0
    """Share of event time that lies in bursts, 0 to 1; in a burst each event is told late by up to `hold`."""
    burst: timedelta = timedelta(minutes=10)
    """Event time that one burst lasts."""
    hold: timedelta = timedelta(minutes=4)
    """Longest event time by which a fault tells an event, or its copy, late; less than `labels.allowed_lateness`."""
    fault_seed: int = 7
    """Decides which events are disturbed, and how."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if self.step <= timedelta(0):
            yield f"replay.step: expected more than 0, got {self.step}; raise it"
        if self.speed < 0:
            yield f"replay.speed: expected at least 0, got {self.speed}; raise it"
        if self.checkpoint_every < 1:
            yield f"replay.checkpoint_every: expected at least 1, got {self.checkpoint_every}; raise it"
        if timedelta(0) < self.features_within < self.step * 2:
            yield (
                f"replay.features_within: expected 0 or at least two steps ({self.step * 2}), "
                f"got {self.features_within}; raise it"
            )
        for name, share in (("duplicates", self.duplicates), ("out_of_order", self.out_of_order)):
            if not 0.0 <= share <= 1.0:
                yield f"replay.{name}: expected a share from 0 to 1, got {share}; mend it"
        for name, time in (("burst", self.burst), ("hold", self.hold)):
            if time <= timedelta(0):
                yield f"replay.{name}: expected more than 0, got {time}; raise it"

    def problems_with(self, labels: LabelsConfig) -> Iterator[str]:
        """Yield one sentence per rule that this section breaks together with `labels`."""
        faulty = self.duplicates > 0 or self.out_of_order > 0
        if faulty and self.hold >= labels.allowed_lateness:
            yield (
                f"replay.hold: expected less than labels.allowed_lateness ({labels.allowed_lateness}), "
                f"got {self.hold}; lower it, or a disturbed event is too late to count"
            )
