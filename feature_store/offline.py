"""The offline rows: Parquet files by view and day of event time, appended, compacted, dropped.

A file is written beside its place, fsynced and renamed, so a reader sees all of it or nothing; what a killed writer
left half-written begins with a dot, which readers pass over. Files of a day are numbered in order of arrival.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.batch import numbers_of
from springtide.contracts.features import (
    FEAST_EVENT_TIME,
    FEAST_ITEM_KEY,
    FEAST_ITEM_VIEW,
    FEAST_NUMBERS,
    FEAST_USER_KEY,
    FEAST_USER_VIEW,
    USER_LISTS,
    Entity,
    FeatureRow,
)
from springtide.feature_join.offline_rows import day_name

VIEWS: Final[dict[Entity, str]] = {"user": FEAST_USER_VIEW, "item": FEAST_ITEM_VIEW}
_TIME: Final = (FEAST_EVENT_TIME, pa.timestamp("ms", tz="UTC"))
_NUMBERS: Final = (FEAST_NUMBERS, pa.list_(pa.float64()))
SCHEMAS: Final[dict[Entity, Any]] = {
    "user": pa.schema(
        [
            (FEAST_USER_KEY, pa.string()),
            _TIME,
            _NUMBERS,
            ("top_categories", pa.list_(pa.string())),
            ("top_category_shares", pa.list_(pa.float64())),
            ("recent_items", pa.list_(pa.string())),
            ("recent_behaviours", pa.list_(pa.string())),
        ]
    ),
    "item": pa.schema([(FEAST_ITEM_KEY, pa.string()), _TIME, _NUMBERS]),
}


class OfflineWriter:
    """One writer of one offline folder."""

    def __init__(self, folder: Path, *, compact_files: int, compact_rows: int, retention_ms: int) -> None:
        """Open the folder and clear what a killed writer left half-written.

        Args:
            folder: holds a folder per view.
            compact_files: a day with this many small files is compacted.
            compact_rows: rows from which a file is not small.
            retention_ms: event time after which a day is dropped, 0: never.
        """
        self._folder = folder
        self._compact_files, self._compact_rows, self._retention_ms = compact_files, compact_rows, retention_ms
        self._small: dict[Path, int] = {}
        for view in VIEWS.values():
            (folder / view).mkdir(parents=True, exist_ok=True)
        for half in folder.glob("*/*/.*"):
            half.unlink()

    def append(self, rows: Sequence[FeatureRow]) -> None:
        """Store rows in order of arrival; they are durable when this returns."""
        parts: dict[tuple[Entity, str], list[FeatureRow]] = defaultdict(list)
        for row in rows:
            parts[row.entity, day_name(row.event_time_ms)].append(row)
        for (entity, day), some in parts.items():
            place = self._folder / VIEWS[entity] / day
            if not place.exists():
                place.mkdir()
                _fsync(place.parent)
            _write(place, _table(entity, some))
            self._compact(place)

    def newest_times(self) -> Iterator[tuple[Entity, str, int]]:
        """Give entity, id and event time of the rows that are stored."""
        for entity, view in VIEWS.items():
            key = SCHEMAS[entity].names[0]
            for path in sorted((self._folder / view).glob("*/[0-9]*.parquet")):
                table = pq.read_table(path, columns=[key, FEAST_EVENT_TIME], partitioning=None)
                newest = table.group_by(key).aggregate([(FEAST_EVENT_TIME, "max")])
                times = newest[f"{FEAST_EVENT_TIME}_max"].cast("int64").to_pylist()
                for entity_id, time_ms in zip(newest[key].to_pylist(), times, strict=True):
                    yield entity, entity_id, time_ms

    def drop_old(self, newest_event_ms: int) -> int:
        """Drop the days that lie whole before the retention; returns how many."""
        if not self._retention_ms:
            return 0
        first = day_name(newest_event_ms - self._retention_ms)
        old = [day for view in VIEWS.values() for day in (self._folder / view).iterdir() if day.name < first]
        for day in old:
            shutil.rmtree(day)
            self._small.pop(day, None)
        return len(old)

    def _compact(self, place: Path) -> None:
        """Merge the small files at the end of a day into one, in the place of the last of them.

        Killed between the rename and the removals, the older files stay beside the merged one: their rows repeat, in
        the same order as before, and are merged again next time.
        """
        self._small[place] = self._small.get(place, self._compact_files) + 1
        if self._small[place] < self._compact_files:
            return
        paths = sorted(place.glob("[0-9]*.parquet"))
        small = list(takewhile(self._is_small, reversed(paths)))[::-1]
        if len(small) >= self._compact_files:
            tables = [pq.read_table(path, partitioning=None) for path in small]
            # an earlier release may have written some of them, with fewer columns
            _write(place, pa.concat_tables(tables, promote_options="default"), small[-1].name)
            for path in small[:-1]:
                path.unlink()
            _fsync(place)
            self._small[place] = 1
        else:
            self._small[place] = len(small)

    def _is_small(self, path: Path) -> bool:
        return bool(pq.read_metadata(path).num_rows < self._compact_rows)


def _table(entity: Entity, rows: Sequence[FeatureRow]) -> Any:
    key = SCHEMAS[entity].names[0]
    columns: dict[str, Any] = {
        key: [row.entity_id for row in rows],
        FEAST_EVENT_TIME: [row.event_time_ms for row in rows],
        FEAST_NUMBERS: [numbers_of(row) for row in rows],
    }
    if entity == "user":
        for name in USER_LISTS:
            columns[name] = [getattr(row, name) for row in rows]
    return pa.Table.from_pydict(columns, schema=SCHEMAS[entity])


def _write(place: Path, table: Any, name: str = "") -> None:
    """Write a whole file or nothing, as the next in order unless it is to replace one."""
    if not name:
        numbers = [int(path.stem) for path in place.glob("[0-9]*.parquet")]
        name = f"{max(numbers, default=0) + 1:09d}.parquet"
    half = place / f".{name}"
    pq.write_table(table, half)
    _fsync(half)
    os.replace(half, place / name)
    _fsync(place)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
