"""Publishes a chain's bundles, or refuses to, or takes one back: docs/decisions/guarded-publish.md."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import Counter

from springtide.contracts import metric_names
from springtide.contracts.bundle import Kind, Manifest, ModelUpdate
from springtide.contracts.errors import BundleError
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import DAY_MS, HOUR_MS
from springtide.model.config import ModelConfig
from springtide.model.lineage import read_manifest
from springtide.quality.task_quality import QualityReport
from springtide.runtime.clock import Clock
from springtide.runtime.config import LabelsConfig
from springtide.runtime.health import Health
from springtide.runtime.reports import Reporter
from springtide.runtime.settings import milliseconds
from trainer.checkpoint import CheckpointFolder
from trainer.config import TrainerConfig
from trainer.failpoints import reach
from trainer.gauges import Gauges, figures
from trainer.guard import HarmfulUpdateError, refusal
from trainer.judge import Trial
from trainer.progress import ChainProgress, Progress
from trainer.publisher import announcement, next_manifest, prune, withdraw

_log = logging.getLogger(__name__)

GUARD_WINDOW_MS = 3 * HOUR_MS
"""Least event time of the rows, scored before they were learned, that a minute bundle is judged by; all that it has
learned since the last one are among them."""

_rolled_back = Counter(
    metric_names.BUNDLES_ROLLED_BACK.removesuffix("_total"), "Versions that were served and taken back.", ["chain"]
)
_unlearned = Counter(
    metric_names.ROWS_UNLEARNED.removesuffix("_total"), "Rows given up by going back to a good version.", ["chain"]
)


class Ranks(Protocol):
    """What is asked of a rank group."""

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of every rank."""

    def call_first(self, method: str, argument: Any, part: str, *of_part: Any) -> Any:
        """Call a method of rank 0 with what another gives on every rank."""


class Announces(Protocol):
    """What is asked of an announcer."""

    def announce(self, update: ModelUpdate) -> None:
        """Send one update."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardedPublisher:
    """The publications of all chains of one life of the trainer."""

    config: TrainerConfig
    model: ModelConfig
    labels: LabelsConfig
    root: Path
    """Of all bundles."""
    progress: Progress
    ranks: Ranks
    announcer: Announces
    checkpoints: CheckpointFolder
    save: Callable[[], None]
    """Writes a checkpoint."""
    arrived: Callable[[], list[list[float]]]
    """Gives the share of each task's labels that have come, see Progress.arrived."""
    gauges: Gauges
    health: Health
    reporter: Reporter
    clock: Clock
    needs_base: set[str]
    """Chains whose next bundle must be a base."""

    def publish(self, chain: str, kind: Kind, watermark_ms: int | None = None) -> bool:
        """Write, save, then announce: so a version that anyone has heard of is in a checkpoint.

        Returns:
            Whether there is a new version.

        Raises:
            BundleError: the model itself is bad: the process ends, and its next life resumes from before it was.
        """
        progress = self.progress.chain(chain)
        if watermark_ms is None:
            watermark_ms = min(self.progress.counts.newest_fast_ms.values(), default=0)
        progress.published_ms = progress.newest_ms
        self.gauges.quality(chain, self.progress)
        if harmful := self._open_trial(chain, watermark_ms):
            self._roll_back(chain, harmful)
            return False
        manifest = self._next(chain, kind, watermark_ms)
        if refused := self._refusal(chain):
            self._refuse(manifest, refused)
            return False
        try:
            manifest = self.ranks.call_first("write_bundle", manifest, "export", chain, kind)
        except HarmfulUpdateError as error:
            self._refuse(manifest, str(error))
            return False
        except BundleError as error:
            self._tell(announcement(manifest, self.root, self.clock.now_ms(), str(error)))
            raise
        self._accept(manifest, watermark_ms)
        return True

    def refuse_day(self, day_end_ms: int) -> bool:
        """Refuse a day whose final rows, scored before they are learned, are not of the world that the base knows."""
        progress = self.progress.chain("daily")
        if not self._guarded(progress, day_end_ms):
            return False
        reason = refusal(
            {task: self.progress.quality("daily", task, "matured", DAY_MS).report() for task in TASKS},
            dict.fromkeys(TASKS, 1.0), self.config, probabilities=not self.model.sample_weighting,
        )  # fmt: skip
        if reason:
            self._tell(announcement(self._next("daily", "base", day_end_ms), self.root, self.clock.now_ms(), reason))
        return bool(reason)

    def resume(self) -> None:
        """Announce again what may not have been heard, and finish what a crash has cut short."""
        for chain in self.config.chains:
            update = self.progress.chain(chain).update
            if update is None:
                continue
            if update.rolled_back:
                withdraw(self.root, chain, update.version)
            self._announce(update)

    def _next(self, chain: str, kind: Kind, watermark_ms: int) -> Manifest:
        return next_manifest(
            chain, kind, self.progress.chain(chain), preset=self.config.preset, model=self.model,
            offsets=self.progress.counts.offsets, watermark_ms=watermark_ms, metrics=self._metrics(chain),
        )  # fmt: skip

    def _guarded(self, progress: ChainProgress, newest_ms: int) -> bool:
        """Tell whether there is a version worth going back to, and refused rows may still be bad data."""
        if progress.update is None or progress.update.samples_learned < self.config.guard_rows:
            return False
        patience = self.labels.final_age + self.config.guard_window + self.config.guard_patience
        return newest_ms - (progress.good_ms or 0) <= milliseconds(patience)

    def _open_trial(self, chain: str, watermark_ms: int) -> str:
        """Let rank 0 compare what is served with what is proven; returns why it must be taken back."""
        progress = self.progress.chain(chain)
        compared = not self.model.sample_weighting and self._guarded(progress, progress.newest_ms)
        trial = Trial(
            chain=chain, served=progress.version if compared else "", proven=progress.proven if compared else ""
        )
        # a day's base is judged on rows before the day, which the base before it has learned as well
        before_ms = watermark_ms - DAY_MS if chain == "daily" else None
        reason: str = self.ranks.call_first("judge", trial, "closed_window", before_ms)
        reach("judged")
        return reason

    def _refusal(self, chain: str) -> str:
        """Judge the minute chain by its newest rows; a day's rows are judged before they are learned."""
        if chain != "minute":
            return ""
        arrived: dict[str, float] = {
            task: 1.0 if isnan(share) else share for task, share in zip(TASKS, self.arrived()[0], strict=True)
        }
        closed = [task for task in TASKS if self.labels.attribution[task] <= self.labels.observed_age]
        window_ms = max(GUARD_WINDOW_MS, milliseconds(self.config.delta_every))
        reports: dict[str, QualityReport] = {
            task: self.progress.quality(chain, task, "matured" if task in closed else "observed", window_ms).report()
            for task in TASKS
        }
        return refusal(reports, arrived, self.config, probabilities=not self.model.sample_weighting)

    def _metrics(self, chain: str) -> dict[str, float]:
        return {
            f"{task}/{name}": value
            for task in TASKS
            for name, value in figures(self.progress.quality(chain, task, "matured").report()).items()
        }

    def _accept(self, manifest: Manifest, watermark_ms: int) -> None:
        chain, progress = manifest.chain, self.progress.chain(manifest.chain)
        update = announcement(manifest, self.root, self.clock.now_ms())
        self.needs_base.discard(chain)
        progress.base_number += manifest.kind == "base"
        progress.sequence, progress.version = manifest.sequence, manifest.version
        progress.base_version, progress.update = manifest.base_version, update
        progress.good_ms = max(progress.newest_ms, watermark_ms)
        progress.served_checkpoint = self.checkpoints.next_number
        judged = any("/closed_" in name for name in manifest.metrics)
        if not progress.proven or (judged and progress.good_ms - progress.proven_ms >= DAY_MS):
            progress.proven, progress.proven_ms = manifest.version, progress.good_ms
            progress.proven_checkpoint = progress.served_checkpoint
        self.save()
        self._announce(update)
        self.gauges.published(chain, manifest.kind)
        self.reporter.mark("publish", manifest.version, progress.newest_ms)
        self.health.update(guard={**self.health.snapshot().get("guard", {}), chain: ""})
        prune(self.root, chain, self.config.bases_kept, progress.proven)

    def _refuse(self, manifest: Manifest, reason: str) -> None:
        """Tell why there is no bundle, and unlearn what it was made of; the next one that is good is a base."""
        progress = self.progress.chain(manifest.chain)
        self.needs_base.add(manifest.chain)
        if progress.update is not None and self._guarded(progress, progress.newest_ms):
            self._go_back(manifest.chain, progress.served_checkpoint, progress.update.samples_learned)
            self.save()
        self._tell(announcement(manifest, self.root, self.clock.now_ms(), reason))

    def _tell(self, refused: ModelUpdate) -> None:
        self.gauges.refused(refused.chain)
        _log.error("%s refused: %s", refused.version, refused.refused)
        self._note("refused", refused, refused.refused)
        self._announce(refused)

    def _roll_back(self, chain: str, reason: str) -> None:
        """Let the proven version be served again, and the chain go on from it."""
        progress = self.progress.chain(chain)
        harmful = progress.version
        try:
            manifest = read_manifest(self.root / chain / progress.proven)
        except BundleError as error:
            _log.error("%s is harmful (%s), but cannot be taken back: %s", harmful, reason, error)
            return
        told = f"{harmful}: {reason}"
        self._go_back(chain, progress.proven_checkpoint, manifest.samples_learned)
        self.needs_base.add(chain)
        update = announcement(manifest, self.root, self.clock.now_ms(), rolled_back=told)
        progress.sequence, progress.version = manifest.sequence, manifest.version
        progress.base_version, progress.update = manifest.base_version, update
        progress.good_ms, progress.served_checkpoint = progress.newest_ms, progress.proven_checkpoint
        self.save()
        _log.error("%s served again: %s", manifest.version, told)
        _rolled_back.labels(chain).inc()
        self._note("rollback", update, told)
        self._announce(update)
        withdraw(self.root, chain, manifest.version)

    def _go_back(self, chain: str, checkpoint: int, rows: int) -> None:
        """Let the chain's model be what it was; without that checkpoint it goes on as it is."""
        folder = self.checkpoints.whole(checkpoint)
        if folder is None:
            return
        progress = self.progress.chain(chain)
        self.ranks.call("restore", chain, folder)
        _log.warning("%s: %d rows unlearned", chain, progress.rows - rows)
        _unlearned.labels(chain).inc(max(0, progress.rows - rows))
        progress.rows = rows

    def _announce(self, update: ModelUpdate) -> None:
        reach("announcing")
        self.announcer.announce(update)
        reach("announced")

    def _note(self, kind: str, update: ModelUpdate, reason: str) -> None:
        self.reporter.mark(kind, f"{update.version}: {reason}", self.progress.chain(update.chain).newest_ms)
        self.health.update(guard={**self.health.snapshot().get("guard", {}), update.chain: reason})
