"""Section `feature_store`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from springtide.contracts.features import FEAST_MAX_AGE_MS
from springtide.runtime.settings import milliseconds


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureStoreConfig:
    """Where rows go and how they are gathered."""

    online_store: Literal["sqlite", "redis"] = "sqlite"
    """Feast's online store: a file beside the registry, or a Redis server."""
    redis: str = "127.0.0.1:6379"
    """Host:port of Redis, with Feast's further options after commas, such as `,password=...`."""
    group: str = "feature-store"
    """Kafka consumer group."""
    batch_rows: int = 5_000
    """Most rows taken into one batch."""
    batch_every: timedelta = timedelta(seconds=1)
    """Wall time in which a batch gathers before it is written; a full one is written at once."""
    compact_files: int = 24
    """A day's folder is compacted when it holds this many files of fewer than `compact_rows` rows."""
    compact_rows: int = 200_000
    """Rows at which a file counts as large and is left alone."""
    retention: timedelta = timedelta(days=35)
    """Event time after which a day's offline rows are dropped; 0d keeps all."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if ":" not in self.redis:
            yield f"feature_store.redis: expected host:port, got {self.redis!r}; add the port"
        for name in ("batch_rows", "compact_rows"):
            if getattr(self, name) < 1:
                yield f"feature_store.{name}: expected at least 1, got {getattr(self, name)}; raise it"
        if self.compact_files < 2:
            yield f"feature_store.compact_files: expected at least 2, got {self.compact_files}; raise it"
        if self.batch_every.total_seconds() < 0:
            yield f"feature_store.batch_every: expected at least 0, got {self.batch_every}; raise it"
        if self.retention and milliseconds(self.retention) < FEAST_MAX_AGE_MS:
            least = timedelta(milliseconds=FEAST_MAX_AGE_MS)
            yield f"feature_store.retention: expected 0 or at least {least}, got {self.retention}; raise it"
