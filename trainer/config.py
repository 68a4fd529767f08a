"""Section `[trainer]`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from springtide.model import presets
from springtide.model.delayed.phases import METHODS, PHASES, Method
from springtide.runtime.config import LabelsConfig

CHAINS: Final = ("daily", "minute")
DAILY_FEATURES: Final = ("feast", "logged")
BY_FEATURES: Final = ("balanced", "es-dfm", "defer")
"""Methods that use the share of labels that have come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerConfig:
    """How the trainer learns, publishes and saves."""

    ranks: int = 2
    """Worker processes; each owns partitions of `samples` and tables of the model."""
    ray_address: str = ""
    """Ray cluster to join, host:port; empty starts one of the trainer's own that ends with it."""
    object_store_mib: int = 100
    """Shared memory of the trainer's own Ray, MiB; at least 75."""
    chains: tuple[str, ...] = CHAINS
    """Which model chains to run: daily (final rows) and minute (fast rows)."""
    preset: str = presets.DEFAULT
    """Composition of the model, a name of springtide.model.presets."""
    delayed_feedback: Method = "balanced"
    """How the minute chain learns from late labels; one of METHODS."""
    delays_by_features: bool = False
    """Let it learn from the dense features how soon labels come, where likely or dear purchases take longer; for
    balanced, es-dfm and defer, which else take one share for all."""
    batch_rows: int = 512
    """Item rows per step and rank."""
    steps_per_call: int = 8
    """Most steps that the ranks take before the driver looks again."""
    wait: timedelta = timedelta(milliseconds=400)
    """Wall time that a rank waits for a full batch before it learns what is there."""
    delta_every: timedelta = timedelta(hours=1)
    """Event time between two deltas of the minute chain."""
    first_base_after: timedelta = timedelta(hours=2)
    """Event time of rows learned before the very first base, so that serving has a model early."""
    day_margin: timedelta = timedelta(hours=1)
    """A day is complete when each partition holds a final row this much later than the day's end."""
    daily_features: str = "feast"
    """Features of final rows: `feast` joins those of the impression's moment, `logged` takes what serving used."""
    archive: str = "archive"
    """Where the daily chain keeps the final rows that it learned, for `springtide train`: a folder, beneath
    process.state_folder unless absolute, or a URL that fsspec reads; empty keeps none."""
    archive_kept: timedelta = timedelta(0)
    """Event time for which archived days are kept; 0 keeps all."""
    forgetting_day: int = 3
    """Which day that the daily chain learns, counted from 1, is scored again by each later base, to see what it has
    forgotten; 0: none. Needs the archive."""
    forgetting_rows: int = 20_000
    """About how many item rows of that day are scored."""
    daily_epochs: int = 1
    """Passes over a day's final rows in the daily chain."""
    quality_window: timedelta = timedelta(days=1)
    """Event time over which progressive quality is measured."""
    keep_scores: bool = False
    """Keep every row's probabilities before learning as Parquet in the trainer's folder, to judge them elsewhere."""
    checkpoint_every: timedelta = timedelta(seconds=60)
    """Wall time after which a checkpoint is due even without a publication."""
    checkpoints_kept: int = 3
    """Newest checkpoints kept on disk."""
    bases_kept: int = 3
    """Newest bases per chain, with their deltas, kept in the bundle folder."""
    guard_labels: int = 200
    """Matured positives per task below which the guard does not judge."""
    guard_calibration: float = 3.0
    """Refuse a bundle whose matured calibration is above this or below its inverse."""
    guard_entropy: float = 1.5
    """Refuse a bundle whose matured normalised entropy is above this."""
    guard_harm: float = 0.2
    """Refuse a bundle whose normalised entropy on the last closed window is by more than this share above that of the
    version served, on the same rows; take a served one back that is so much above the last proven one."""
    guard_window: timedelta = timedelta(hours=6)
    """Event time of the last closed window."""
    guard_slates: int = 48
    """Slates that each rank keeps of every hour of event time for that window; 0 compares no versions."""
    guard_rows: int = 20_000
    """Item rows that a version must have learned before others are compared with it, or the chain goes back to it."""
    guard_patience: timedelta = timedelta(hours=6)
    """Event time after the closed window could have seen them for which refused rows are taken for bad data and
    unlearned; what lasts longer is taken for the world."""
    start_timeout: timedelta = timedelta(seconds=300)
    """Wall time in which the ranks must have started and met; a busy machine takes a minute or two."""
    worker_timeout: timedelta = timedelta(seconds=120)
    """Wall time without an answer after which a rank counts as lost."""
    seed: int = 7
    """Of the order in which a day's rows are learned."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        yield from self._choice_problems()
        for key, least in (
            ("ranks", 1), ("object_store_mib", 75), ("batch_rows", 64), ("steps_per_call", 1), ("daily_epochs", 1),
            ("checkpoints_kept", 1), ("bases_kept", 1), ("guard_labels", 1), ("guard_slates", 0), ("guard_rows", 0),
            ("forgetting_day", 0), ("forgetting_rows", 1),
        ):  # fmt: skip
            if getattr(self, key) < least:
                yield f"trainer.{key}: expected at least {least}, got {getattr(self, key)}; raise it"
        for key in (
            "delta_every",
            "first_base_after",
            "quality_window",
            "checkpoint_every",
            "start_timeout",
            "worker_timeout",
            "wait",
            "guard_window",
            "guard_patience",
        ):
            if getattr(self, key) <= timedelta(0):
                yield f"trainer.{key}: expected more than 0s, got {getattr(self, key)}; raise it"
        for key in ("guard_calibration", "guard_entropy"):
            if getattr(self, key) <= 1.0:
                yield f"trainer.{key}: expected more than 1, got {getattr(self, key)}; raise it"
        if self.guard_harm <= 0.0:
            yield f"trainer.guard_harm: expected more than 0, got {self.guard_harm}; raise it"

    def label_problems(self, labels: LabelsConfig) -> Iterator[str]:
        """Yield one sentence per row that the minute chain needs and the joiner is not set to write."""
        if "minute" not in self.chains:
            return
        needed = PHASES[self.delayed_feedback]
        told = {"close": {"final"}, "fast": {"observed", "corrected"}, "full": {"observed", "corrected", "final"}}
        if missing := set(needed) - told[labels.policy]:
            yield (
                f"trainer.delayed_feedback: expected labels.policy to write {sorted(missing)} rows for "
                f"{self.delayed_feedback}, got {labels.policy!r}; choose another policy or method"
            )
        if "final" in needed and labels.policy == "full" and not labels.final_features:
            yield (
                f"labels.final_features: expected true for trainer.delayed_feedback = {self.delayed_feedback!r}, got "
                f"false; final rows must carry features to be learned as they come"
            )

    def _choice_problems(self) -> Iterator[str]:
        if not self.chains or not set(self.chains) <= set(CHAINS) or len(set(self.chains)) < len(self.chains):
            yield f"trainer.chains: expected one or both of {CHAINS}, got {self.chains}; choose"
        if self.delayed_feedback not in METHODS:
            yield f"trainer.delayed_feedback: expected one of {METHODS}, got {self.delayed_feedback!r}; choose one"
        if self.delays_by_features and self.delayed_feedback not in BY_FEATURES:
            yield (
                f"trainer.delays_by_features: expected delayed_feedback one of {BY_FEATURES}, got "
                f"{self.delayed_feedback!r}; unset it"
            )
        if self.daily_features not in DAILY_FEATURES:
            yield f"trainer.daily_features: expected one of {DAILY_FEATURES}, got {self.daily_features!r}; choose one"
        if self.preset not in presets.names():
            yield f"trainer.preset: expected one of {presets.names()}, got {self.preset!r}; choose one"
