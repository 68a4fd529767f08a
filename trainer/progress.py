"""What the driver knows and a checkpoint keeps: versions, days, counts, delay curves, quality."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np

from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import HOUR_MS
from springtide.quality.label_maturity import DelayCurve
from springtide.quality.quality_book import QualityBook, QualityKey
from springtide.quality.task_quality import TaskQuality
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds
from trainer.forgetting import OldDay
from trainer.held_scores import Judged
from trainer.messages import CallReport

FEW_LABELS = 30
"""Final labels of a task below which its delay curve is not believed."""


class ChainProgress(msgspec.Struct, kw_only=True):
    """One chain."""

    base_number: int = 0
    sequence: int = 0
    base_version: str = ""
    version: str = ""
    published_ms: int | None = None
    """Newest impression at the last publication."""
    started_ms: int | None = None
    """Oldest impression of the first rows."""
    newest_ms: int = 0
    rows: int = 0
    """Item rows that the model has learned."""
    update: ModelUpdate | None = None
    """The last announcement of a version to be served."""
    good_ms: int | None = None
    """Newest impression at the last publication that was not refused."""
    served_checkpoint: int = 0
    """Number of the checkpoint that holds the model as it is served; 0: none is known."""
    proven: str = ""
    """Version that the guard trusts: the first one ever, and then, a day of event time after it or later, the next
    that it could judge."""
    proven_ms: int = 0
    """Newest impression of the proven version."""
    proven_checkpoint: int = 0
    """Number of the checkpoint that holds it."""


class Counts(msgspec.Struct, kw_only=True):
    """The driver's plain state."""

    chains: dict[str, ChainProgress]
    last_day: int | None = None
    """Newest day that the daily chain has learned."""
    anchored_day: int | None = None
    """Day of the daily base that the minute chain started from."""
    offsets: dict[int, int] = {}
    newest_final_ms: dict[int, int] = {}
    newest_fast_ms: dict[int, int] = {}
    learned_days: int = 0
    """How many days the daily chain has learned."""
    old_day: OldDay | None = None
    """What the daily chain still knows of one old day."""


@dataclass(kw_only=True, slots=True)
class Progress:
    """Everything of the driver that must survive."""

    counts: Counts
    books: dict[str, QualityBook]
    curves: dict[str, DelayCurve]
    final_days: set[int] = field(default_factory=set)
    """Days of which final rows have been seen; the ranks' indexes know them too."""

    @classmethod
    def new(cls, chains: tuple[str, ...], labels: LabelsConfig, quality_window: timedelta) -> "Progress":
        """Return the state of a trainer that has seen nothing."""
        slots = max(1, milliseconds(quality_window) // HOUR_MS)
        return cls(
            counts=Counts(chains={chain: ChainProgress() for chain in chains}),
            books={chain: QualityBook(HOUR_MS, slots) for chain in chains},
            curves={task: DelayCurve(milliseconds(labels.attribution[task])) for task in TASKS},
        )

    def chain(self, name: str) -> ChainProgress:
        """Return one chain's progress."""
        return self.counts.chains[name]

    def take(self, report: CallReport) -> None:
        """Note what a live call brought beside learning."""
        self.counts.offsets |= report.offsets
        self.counts.newest_final_ms |= report.newest_final_ms
        self.counts.newest_fast_ms |= report.newest_fast_ms
        self.final_days |= report.final_days
        for task, delays in report.delays_ms.items():
            if delays:
                self.curves[task].add(delays)

    def judge(self, chain: str, judged: list[Judged]) -> None:
        """Take scored rows into the chain's quality."""
        for part in judged:
            key = QualityKey(task=part.task, maturity=part.maturity)
            self.books[chain].update(key, part.probabilities_N, part.labels_N, part.times_ms_N, part.weights_N)

    def quality(self, chain: str, task: str, maturity: str, window_ms: int | None = None) -> TaskQuality:
        """Return a chain's figures for a task."""
        return self.books[chain].pooled(task, maturity, window_ms=window_ms)

    def arrived(self, observed_age_ms: int, hours: int = 1) -> list[list[float]]:
        """Return per hour after the observation window and task the share of labels that come; NaN while unknown."""
        ages_ms = observed_age_ms + HOUR_MS * np.arange(hours)
        shares_KT = np.ones((hours, len(TASKS)))
        for column, task in enumerate(TASKS):
            curve = self.curves[task]
            known_K = curve.completeness(ages_ms) if curve.count >= FEW_LABELS else None
            shares_KT[:, column] = np.where(ages_ms < curve.window_ms, np.nan, 1.0) if known_K is None else known_K
        shares: list[list[float]] = shares_KT.tolist()
        return shares

    def pinned(self) -> set[int]:
        """Return the checkpoints that a chain may have to go back to."""
        chains = self.counts.chains.values()
        return {number for chain in chains for number in (chain.served_checkpoint, chain.proven_checkpoint) if number}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return {
            "counts": msgspec.to_builtins(self.counts, str_keys=True),
            "books": {chain: book.to_dict() for chain, book in self.books.items()},
            "curves": {task: curve.to_dict() for task, curve in self.curves.items()},
            "final_days": sorted(self.final_days),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `to_dict` returned; a chain or a task that is new keeps its fresh state."""
        counts = msgspec.convert(state["counts"], Counts, strict=False)
        for chain, progress in counts.chains.items():
            if chain in self.counts.chains:
                self.counts.chains[chain] = progress
                self.books[chain] = QualityBook.from_dict(state["books"][chain])
        self.counts.last_day, self.counts.anchored_day = counts.last_day, counts.anchored_day
        self.counts.offsets, self.counts.newest_final_ms = counts.offsets, counts.newest_final_ms
        self.counts.newest_fast_ms = counts.newest_fast_ms
        self.counts.learned_days, self.counts.old_day = counts.learned_days, counts.old_day
        for task, curve in state["curves"].items():
            loaded = DelayCurve.from_dict(curve)
            if task in self.curves and loaded.window_ms == self.curves[task].window_ms:
                self.curves[task] = loaded
        self.final_days = set(state["final_days"])
