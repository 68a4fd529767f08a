"""The newest rolling features as the feature job tells them, so that exposures log what a server would have used."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from springtide.contracts.events import SlateFeatures
from springtide.contracts.features import COUNTS, FEATURE_SET_VERSION, FeatureRow
from springtide.contracts.topics import FEATURES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer
from springtide.runtime.settings import milliseconds

_log = logging.getLogger(__name__)


class NewestFeatures:
    """The newest row per entity, by event time. Pure."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], FeatureRow] = {}
        self.newest_ms = 0

    def take(self, row: FeatureRow) -> None:
        """Take in a row; an older one changes nothing."""
        key = (row.entity, row.entity_id)
        known = self._rows.get(key)
        if known is None or known.event_time_ms <= row.event_time_ms:
            self._rows[key] = row
        self.newest_ms = max(self.newest_ms, row.event_time_ms)

    def slate(self, user_id: str, item_id: str, category: str, price: float, born_ms: int) -> SlateFeatures:
        """Give the features of a slate of one item."""
        user, item = self._rows.get(("user", user_id)), self._rows.get(("item", item_id))
        counts = item.values if item else {}
        columns = {name: [float(counts.get(name, 0.0))] for name in COUNTS}
        return SlateFeatures(
            version=FEATURE_SET_VERSION,
            feature_time_ms=user.event_time_ms if user else 0,
            user=dict(user.values) if user else {},
            top_categories=user.top_categories if user else [],
            top_category_shares=user.top_category_shares if user else [],
            recent_items=user.recent_items if user else [],
            recent_behaviours=user.recent_behaviours if user else [],
            item={**columns, "price": [price], "born_ms": [float(born_ms)]},
            item_category=[category],
        )


class FeatureReader:
    """Reads topic `features`, and waits while it lies too far behind the replay."""

    def __init__(self, consumer: Any, within: timedelta, patience: timedelta) -> None:
        """`consumer` reads topic `features` from its beginning; nothing waits when it is None."""
        self.newest = NewestFeatures()
        self._consumer, self._within_ms, self._patience_s = consumer, milliseconds(within), patience.total_seconds()
        self._last_told_ms = self._granted_ms = 0
        self.gave_up = 0

    def told(self, time_ms: int) -> None:
        """Remember the newest event that the feature job could know of."""
        self._last_told_ms = time_ms

    def wait(self, now_ms: int, stopped: Callable[[], bool], waiting: Callable[[str], None]) -> None:
        """Read what is there; block while the features are too old, though something newer was told.

        Without progress the bound grows by a quarter, so that nobody waits for ever.
        """
        if self._consumer is None:
            return
        self._read(0)
        since = time.monotonic()
        while not stopped() and self._late(now_ms):
            before = self.newest.newest_ms
            waiting(f"features: {(now_ms - before) / 3_600_000:.1f} h of event time behind")
            self._read(100)
            if self.newest.newest_ms > before:
                since, self._granted_ms = time.monotonic(), 0
            elif time.monotonic() - since > self._patience_s:
                self.gave_up += 1
                self._granted_ms += self._within_ms // 4
                _log.warning("the feature job makes no progress in %.0f s; the replay goes on", self._patience_s)
                since = time.monotonic()

    def _late(self, now_ms: int) -> bool:
        """Tell whether some event older than the bound has not reached the features yet."""
        bound = now_ms - self._within_ms - self._granted_ms
        return self.newest.newest_ms < min(bound, self._last_told_ms)

    def _read(self, timeout_ms: int) -> None:
        while batch := self._consumer.poll(timeout_ms=timeout_ms, max_records=5000):
            timeout_ms = 0
            for records in batch.values():
                for record in records:
                    if record.value is not None:
                        self.newest.take(msgspec.json.decode(record.value, type=FeatureRow))

    def close(self) -> None:
        """Let the connection go."""
        if self._consumer is not None:
            self._consumer.close()


def read_features(kafka: KafkaConfig, within: timedelta, patience: timedelta) -> FeatureReader:
    """Make a reader of topic `features`; it reads nothing when `within` is 0."""
    return FeatureReader(make_consumer(kafka, [kafka.topic(FEATURES.name)]) if within else None, within, patience)
