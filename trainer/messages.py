"""What the driver and its ranks say to each other, in one process tree; nothing of it is stored."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.dead_letter import DeadLetter
from springtide.model.config import ModelConfig
from springtide.runtime.config import KafkaConfig, LabelsConfig
from trainer.archive import ArchivedPart
from trainer.config import TrainerConfig
from trainer.held_scores import Judged


@dataclass(frozen=True, kw_only=True, slots=True)
class RankSetup:
    """All that a rank is made from."""

    config: TrainerConfig
    model: ModelConfig
    kafka: KafkaConfig
    labels: LabelsConfig
    bundles_root: Path
    feast_folder: Path
    offsets: dict[int, int]
    """Partitions of `samples` that the rank owns, and where it begins."""
    archive: str = ""
    """Root of the archive that final rows are kept in, and read from in a backfill; empty: none."""
    scores_folder: Path | None = None
    """Where every row's probabilities before learning are kept; none keeps nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """Where a rank group forms."""

    rank: int
    world_size: int
    host: str
    port: int
    """Of the TCP store that rank 0 opens."""
    timeout: timedelta
    """Wall time of one collective."""
    start_timeout: timedelta = timedelta(minutes=5)
    """Wall time in which all ranks must have come."""


@dataclass(kw_only=True, slots=True)
class CallReport:
    """What one call did on one rank, or, laid together, on all."""

    slates: dict[str, int] = field(default_factory=dict)
    """New messages per phase."""
    rows: dict[str, int] = field(default_factory=dict)
    """Item rows stepped over per phase."""
    steps: int = 0
    newest_ms: int = 0
    """Newest impression among the rows, 0 without any."""
    oldest_ms: int = 0
    """Oldest impression among the rows, 0 without any."""
    exhausted: bool = False
    """No rank has more for now."""
    judged: list[Judged] = field(default_factory=list)
    delays_ms: dict[str, list[int]] = field(default_factory=dict)
    newest_final_ms: dict[int, int] = field(default_factory=dict)
    final_days: set[int] = field(default_factory=set)
    """Days of which final rows are known."""
    newest_fast_ms: dict[int, int] = field(default_factory=dict)
    """Newest impression among observed rows per partition."""
    offsets: dict[int, int] = field(default_factory=dict)
    lag: dict[int, int] = field(default_factory=dict)
    """Records that lie ahead per partition; told by a rank that has just run out of them."""
    repeated: int = 0
    """Rows refused as seen before, since the start."""
    unjudged: int = 0
    """Final slates without held scores, since the start."""
    late: int = 0
    """Final slates of days that were learned already, since the start: they came after the margin."""
    dead: list[DeadLetter] = field(default_factory=list)

    def add(self, other: "CallReport") -> None:
        """Lay another rank's report of the same call over this one."""
        for mine, theirs in ((self.slates, other.slates), (self.rows, other.rows)):
            for phase, count in theirs.items():
                mine[phase] = mine.get(phase, 0) + count
        self.steps = max(self.steps, other.steps)
        self.newest_ms = max(self.newest_ms, other.newest_ms)
        self.oldest_ms = min(filter(None, (self.oldest_ms, other.oldest_ms)), default=0)
        self.exhausted = self.exhausted and other.exhausted
        self.judged.extend(other.judged)
        for task, delays in other.delays_ms.items():
            self.delays_ms.setdefault(task, []).extend(delays)
        self.newest_final_ms |= other.newest_final_ms
        self.final_days |= other.final_days
        self.newest_fast_ms |= other.newest_fast_ms
        self.offsets |= other.offsets
        self.lag |= other.lag
        self.repeated += other.repeated
        self.unjudged += other.unjudged
        self.late += other.late
        self.dead.extend(other.dead)


@dataclass(frozen=True, kw_only=True, slots=True)
class DayReport:
    """What a rank holds of a day's final rows."""

    slates: int
    rows: int
    without_logged: int
    """Final slates whose observed row, with the logged features, was not found."""
    repeated: int
    """Rows that lay twice in the topic."""
    skew: dict[str, Any]
    """Logged against point-in-time features, per feature; empty when features are the logged ones."""
    archived: list[ArchivedPart] = field(default_factory=list)
    """What was written into the archive, a part per partition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """What a rank adds to a bundle: numpy, so that Ray passes it without copying."""

    tables: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]
    """Rows and vectors per table that lives there."""
    dense: dict[str, NDArray[np.float32]]
    """The dense part; rank 0 alone."""
    ids: dict[str, dict[str, NDArray[Any]]]
    """IdMap (base) or Journal (delta) per table, as arrays; rank 0 alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedRank:
    """One rank's part of a checkpoint, written and synced."""

    file: str
    size: int
    sha256: str
    state: dict[str, Any]
    """What is not a tensor, JSON-able."""
