"""The sections `streaming`, `joiner` and `features`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from springtide.runtime.config import LabelsConfig

RoleName = Literal["joiner", "features"]

FeaturesUntil = Literal["observed", "final"]

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamingConfig:
    """Which job this process runs and how its worker behaves."""

    role: RoleName = "joiner"
    """joiner or features: each is a process of its own."""
    store: str = "memory://"
    """Where state rests: memory:// (read from the changelog at every start) or rocksdb:// (on disk, so that a start
    after a clean stop reads nothing)."""
    commit_every: timedelta = timedelta(seconds=1)
    """Wall time between two commits."""
    commit_stall: timedelta = timedelta(seconds=90)
    """Wall time that commits may lag behind finished triggers before the process ends itself."""
    request_timeout: timedelta = timedelta(seconds=60)
    """Wall time that a message may take to be acknowledged."""
    session_timeout: timedelta = timedelta(seconds=8)
    """Wall time after which a worker that was killed loses its partitions to the next one."""
    fetch_wait: timedelta = timedelta(milliseconds=100)
    """Wall time that the broker waits for more records before it answers; longer is less work and more delay."""
    buffer_records: int = 4096
    """Records fetched ahead, in batches."""
    batch_records: int = 1024
    """Most records that go through the worker as one message; more is less work and longer turns."""
    batch_bytes: int = 786_432
    """Most bytes of one batch to the broker, before compression; less than the topics' max.message.bytes."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if self.store not in {"memory://", "rocksdb://"}:
            yield f"streaming.store: expected memory:// or rocksdb://, got {self.store!r}; take one of them"
        if self.commit_stall < 3 * self.commit_every:  # the first commit of a life comes after two of these
            wanted = f"at least three times streaming.commit_every ({self.commit_every})"
            yield f"streaming.commit_stall: expected {wanted}, got {self.commit_stall}; raise it"
        if not timedelta(seconds=6) <= self.session_timeout <= timedelta(seconds=60):
            yield f"streaming.session_timeout: expected 6s to 60s, got {self.session_timeout}; take 8s"
        if not timedelta(0) <= self.fetch_wait <= timedelta(seconds=5):
            yield f"streaming.fetch_wait: expected 0s to 5s, got {self.fetch_wait}; take 100ms"
        if self.batch_records < 1:
            yield f"streaming.batch_records: expected at least 1, got {self.batch_records}; raise it"
        if self.buffer_records < self.batch_records:
            wanted = f"at least streaming.batch_records ({self.batch_records})"
            yield f"streaming.buffer_records: expected {wanted}, got {self.buffer_records}; raise it"
        if not 4096 <= self.batch_bytes <= 900_000:
            yield f"streaming.batch_bytes: expected 4096 to 900000, got {self.batch_bytes}; take 786432"


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinerConfig:
    """When the joiner emits and how much it remembers. Times are event time."""

    trigger_every: timedelta = timedelta(minutes=5)
    """Watermark advance after which a record is a trigger: what is due is emitted and state is written."""
    trigger_records: int = 2048
    """A record whose offset is a multiple of this is a trigger, too."""
    orphan_wait: timedelta = timedelta(hours=1)
    """How long a label or an impression waits for its slate, and a slate for its impression."""
    remember: timedelta = timedelta(days=1)
    """How long after its final row a slate is remembered, to know late labels and repetitions."""
    outlier_run: int = 20
    """Outliers in a row after which a leap of time is believed."""
    labels_per_slate: int = 256
    """Labels kept per slate; beyond, repeated labels of a task and item are counted but not kept."""
    features_until: FeaturesUntil = "final"
    """Row up to which a slate's features are kept: final, so that corrections carry them; observed, to hold less."""
    budget: int = 1_000_000_000
    """Bytes that one partition may hold (as estimated) before it reads no more until less is pending."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if self.trigger_every <= timedelta(0):
            yield f"joiner.trigger_every: expected more than 0, got {self.trigger_every}; raise it"
        if self.trigger_records < 1:
            yield f"joiner.trigger_records: expected at least 1, got {self.trigger_records}; raise it"
        if self.outlier_run < 2:
            yield f"joiner.outlier_run: expected at least 2, got {self.outlier_run}; raise it"
        if self.labels_per_slate < 1:
            yield f"joiner.labels_per_slate: expected at least 1, got {self.labels_per_slate}; raise it"
        if self.budget < 1:
            yield f"joiner.budget: expected at least 1 byte, got {self.budget}; raise it"

    def problems_with(self, labels: LabelsConfig) -> Iterator[str]:
        """Yield one sentence per rule that this section breaks together with `labels`."""
        for name, value in (("orphan_wait", self.orphan_wait), ("remember", self.remember)):
            if value < labels.allowed_lateness:
                yield (
                    f"joiner.{name}: expected at least labels.allowed_lateness ({labels.allowed_lateness}), "
                    f"got {value}; raise it"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturesConfig:
    """How fine and how often rolling features are made. Times are event time."""

    user_flush: timedelta = timedelta(minutes=30)
    """Grid on which user rows are made; it is also the width of their count buckets, so it divides an hour."""
    item_flush: timedelta = timedelta(hours=1)
    """Grid on which item rows are made, a multiple of `user_flush` that divides an hour."""
    trigger_records: int = 4096
    """A record whose offset is a multiple of this is a trigger, beside every flush."""
    remember: timedelta = timedelta(days=1)
    """How long event ids are kept to find duplicates; an event older than this is too late to count."""
    slate_wait: timedelta = timedelta(hours=1)
    """How long a slate's items are kept for its impressions, and an impression waits for its slate."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        for name, value in (("user_flush", self.user_flush), ("item_flush", self.item_flush)):
            if value <= timedelta(0) or _HOUR % value:
                yield f"features.{name}: expected a duration that divides 1h, got {value}; take 15m, 30m or 1h"
        if self.user_flush > timedelta(0) and self.item_flush % self.user_flush:
            yield (
                f"features.item_flush: expected a multiple of features.user_flush ({self.user_flush}), "
                f"got {self.item_flush}; raise it"
            )
        if self.trigger_records < 1:
            yield f"features.trigger_records: expected at least 1, got {self.trigger_records}; raise it"
