"""Stores batches of rows in both stores; knows no Kafka."""

import fcntl
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feature_store import metrics
from feature_store.batch import NewestRows
from feature_store.config import FeatureStoreConfig
from feature_store.offline import OfflineWriter
from feature_store.online import OnlineWriter
from feature_store.repository import apply
from springtide.contracts.errors import StateError
from springtide.contracts.features import FEAST_OFFLINE_FOLDER, FeatureRow
from springtide.contracts.topics import DAY_MS
from springtide.runtime.settings import milliseconds

_log = logging.getLogger(__name__)


class FeatureWriter:
    """Both stores of one folder.

    Offline comes first. So whatever is online is offline too, and the guard, which starts from the offline rows, is
    never behind the online store. A batch that is written twice changes nothing: its offline rows repeat, and readers
    take the last of an instant; online, a row may only follow one that is no newer.
    """

    def __init__(self, folder: Path, config: FeatureStoreConfig) -> None:
        """Take the folder, apply the definitions, and learn what is stored.

        Raises:
            StateError: another writer holds the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(folder)
        self.newest_ms = 0
        self._online = OnlineWriter(apply(folder, config))
        self._offline = OfflineWriter(
            folder / FEAST_OFFLINE_FOLDER,
            compact_files=config.compact_files,
            compact_rows=config.compact_rows,
            retention_ms=milliseconds(config.retention),
        )
        self._newest = NewestRows()
        for entity, entity_id, time_ms in self._offline.newest_times():
            self._newest.remember(entity, entity_id, time_ms)
            self.newest_ms = max(self.newest_ms, time_ms)
        _log.info("stored features", extra={"entities": len(self._newest), "newest_event_ms": self.newest_ms})

    def write(self, rows: Sequence[FeatureRow]) -> None:
        """Store rows in order of arrival; both stores are durable when this returns."""
        if not rows:
            return
        with metrics.WRITE_SECONDS.labels("offline").time():
            self._offline.append(rows)
        chosen = self._newest.select(rows)
        with metrics.WRITE_SECONDS.labels("online").time():
            self._online.write(chosen)
        self._count(rows)

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._lock)

    def _count(self, rows: Sequence[FeatureRow]) -> None:
        for row in rows:
            metrics.ROWS.labels(metrics.STAGE, row.entity).inc()
        newest_ms = max(self.newest_ms, *(row.event_time_ms for row in rows))
        if newest_ms // DAY_MS > self.newest_ms // DAY_MS:
            metrics.DAYS_DROPPED.inc(self._offline.drop_old(newest_ms))
        self.newest_ms = newest_ms
        metrics.NEWEST.labels(metrics.STAGE).set(newest_ms / 1000)
        for entity in ("user", "item"):
            times = [row.event_time_ms for row in rows if row.entity == entity]
            if times:
                metrics.NEWEST.labels(f"{metrics.STAGE}_{entity}").set(max(times) / 1000)


def _hold(folder: Path) -> Any:
    """Lock the folder for this process; the lock ends with the process, however it ends."""
    handle = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise StateError(f"{folder}: expected to be its only writer, got another; stop one of the two") from error
    return handle
