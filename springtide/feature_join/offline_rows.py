"""Reads the offline rows of a view that may matter to a span of event time."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from springtide.contracts.errors import StateError
from springtide.contracts.topics import DAY_MS

_log = logging.getLogger(__name__)
_TRIES: Final = 5


def day_name(event_time_ms: int) -> str:
    """Name the folder of an event time's day, UTC, such as `2024-05-17`."""
    return datetime.fromtimestamp(event_time_ms // 1000, UTC).strftime("%Y-%m-%d")


def list_files(view_folder: Path, earliest_ms: int, latest_ms: int) -> list[Path]:
    """List the whole files of the days from `earliest_ms` to `latest_ms`, days in order, files in order of arrival."""
    if not view_folder.exists():
        return []
    first, last = day_name(earliest_ms // DAY_MS * DAY_MS), day_name(latest_ms)
    days = sorted(day for day in view_folder.iterdir() if first <= day.name <= last)
    return [path for day in days for path in sorted(day.glob("[0-9]*.parquet"))]


def read_rows(view_folder: Path, earliest_ms: int, latest_ms: int, columns: list[str]) -> Any:
    """Read the rows of those days as one pyarrow.Table in order of arrival within a day; None without any.

    Repeated rows are left in: whoever joins takes the last of an instant. A column that an earlier release did not
    write is null in its rows. The writer may compact a day while it is read; then the list is taken anew.

    Raises:
        StateError: files kept vanishing.
    """
    for _ in range(_TRIES):
        files = list_files(view_folder, earliest_ms, latest_ms)
        if not files:
            return None
        try:
            return pa.concat_tables([_read(path, columns) for path in files], promote_options="default")
        except FileNotFoundError as error:
            _log.info("compacted while read, reading anew: %s", error)
    raise StateError(f"{view_folder}: expected files that stay for one read, got none in {_TRIES} tries; read later")


def _read(path: Path, columns: list[str]) -> Any:
    stored = pq.read_schema(path).names
    table = pq.read_table(path, columns=[name for name in columns if name in stored], partitioning=None)
    for name in columns:
        if name not in stored:
            table = table.append_column(name, pa.nulls(len(table)))
    return table
