"""Section `[replay]`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


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
