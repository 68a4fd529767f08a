"""Features as they were at the moment of each impression: the training join.

Feast holds the definitions and says where the rows lie and how long they hold; the as-of join is our own, since
Feast's (0.67, file source) gives fewer rows than it got: docs/decisions/feast-joins.md.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from springtide.contracts.errors import ShapeError, StateError
from springtide.contracts.features import (
    FEAST_EVENT_TIME,
    FEAST_ITEM_COLUMNS,
    FEAST_ITEM_KEY,
    FEAST_ITEM_VIEW,
    FEAST_NUMBERS,
    FEAST_USER_COLUMNS,
    FEAST_USER_KEY,
    FEAST_USER_VIEW,
    ITEM_NUMBERS,
    USER_NUMBERS,
    feast_column,
)
from springtide.feature_join.as_of import latest_before
from springtide.feature_join.offline_rows import read_rows
from springtide.feature_join.repository import open_repository

ENTITY_COLUMNS: Final = ("row_id", FEAST_USER_KEY, FEAST_ITEM_KEY, "event_time_ms")


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    name: str
    key: str
    stored: tuple[str, ...]
    """Columns as Feast stores them."""
    numbers: tuple[str, ...]
    """Names of the vector's entries."""
    folder: Path
    max_age_ms: int


class PointInTimeFeatures:
    """Joins impressions with the features of their moment."""

    def __init__(self, repo_path: Path, wait_seconds: float = 0.0) -> None:
        """Read the definitions; raises StateError when the writer has made none in `wait_seconds`."""
        store = open_repository(repo_path, wait_seconds)
        self._views = [
            _open_view(
                store, repo_path, FEAST_USER_VIEW, FEAST_USER_KEY, stored=FEAST_USER_COLUMNS, numbers=USER_NUMBERS
            ),
            _open_view(
                store, repo_path, FEAST_ITEM_VIEW, FEAST_ITEM_KEY, stored=FEAST_ITEM_COLUMNS, numbers=ITEM_NUMBERS
            ),
        ]

    def join(self, entity_rows: pd.DataFrame, lag: timedelta = timedelta(0)) -> pd.DataFrame:
        """Add every feature to N rows; as many come out, in the same order, with the same index.

        Args:
            entity_rows: columns row_id (unique), user_id, item_id (texts), event_time_ms (integer).
            lag: look this much further back in event time: what serving could not yet have known.

        Returns:
            The rows with a column per feature, named by `feast_column`: numbers as float64 with NaN where there is no
            row, lists empty there. `feature_time_ms` is the event time of the row that was used.

        Raises:
            ShapeError: a column is missing or a row_id repeats.
            StateError: stored rows are of another release.
        """
        _check(entity_rows)
        times_ms = entity_rows["event_time_ms"].to_numpy(dtype=np.int64) - round(lag.total_seconds() * 1000)
        columns: dict[str, Any] = {}
        for view in self._views:
            columns.update(_view_columns(view, entity_rows[view.key].to_numpy(object), times_ms))
        joined = pd.concat([entity_rows, pd.DataFrame(columns, index=entity_rows.index)], axis=1)
        if len(joined) != len(entity_rows):
            raise ShapeError(f"feature join: expected {len(entity_rows)} rows out, got {len(joined)}; report this")
        return joined


def _open_view(
    store: Any, repo_path: Path, name: str, key: str, *, stored: tuple[str, ...], numbers: tuple[str, ...]
) -> _View:
    definition = store.get_feature_view(name)
    return _View(
        name=name,
        key=key,
        stored=stored,
        numbers=numbers,
        folder=repo_path / definition.batch_source.path,
        max_age_ms=round(definition.ttl.total_seconds() * 1000),
    )


def _view_columns(view: _View, entities: NDArray[np.object_], times_ms: NDArray[np.int64]) -> dict[str, Any]:
    index = np.full(len(entities), -1, dtype=np.int64)
    table = None
    if len(entities):
        span = int(times_ms.min()) - view.max_age_ms, int(times_ms.max())
        table = read_rows(view.folder, *span, [view.key, FEAST_EVENT_TIME, *view.stored])
    if table is not None:
        feature_times_ms = table[FEAST_EVENT_TIME].cast(pa.timestamp("ms", tz="UTC")).cast("int64").to_numpy()
        feature_entities = table[view.key].to_numpy(zero_copy_only=False)
        index = latest_before(entities, times_ms, feature_entities, feature_times_ms, view.max_age_ms)
    numbers = _numbers(table, index, view)
    columns: dict[str, Any] = {feast_column(view.name, name): numbers[:, at] for at, name in enumerate(view.numbers)}
    for name in view.stored:
        if name != FEAST_NUMBERS:
            columns[feast_column(view.name, name)] = _lists(table, index, name)
    return columns


def _check(entity_rows: pd.DataFrame) -> None:
    missing = [name for name in ENTITY_COLUMNS if name not in entity_rows.columns]
    if missing:
        raise ShapeError(f"feature join: expected columns {ENTITY_COLUMNS}, got none of {missing}; add them")
    if entity_rows["row_id"].duplicated().any():
        repeated = entity_rows["row_id"][entity_rows["row_id"].duplicated()].iloc[0]
        raise ShapeError(f"feature join: expected unique row_id, got {repeated!r} twice; number the rows")


def _numbers(table: Any, index: NDArray[np.int64], view: _View) -> NDArray[np.float64]:
    """(N, len(view.numbers)), NaN where the index is -1."""
    width = len(view.numbers)
    numbers = np.full((len(index), width), np.nan)
    known = index >= 0
    if known.any():
        taken = table[FEAST_NUMBERS].take(index[known]).combine_chunks()
        values = taken.flatten().to_numpy()
        if len(values) != known.sum() * width or (np.diff(taken.offsets.to_numpy()) != width).any():
            raise StateError(
                f"{view.name}: expected {width} numbers a row ({', '.join(view.numbers)}), got others; "
                "clear the offline store or join with the release that wrote it"
            )
        numbers[known] = values.reshape(-1, width)
    return numbers


def _lists(table: Any, index: NDArray[np.int64], name: str) -> NDArray[np.object_]:
    """(N,) of lists, empty where the index is -1 or an earlier release wrote none."""
    lists: NDArray[np.object_] = np.empty(len(index), dtype=object)
    known = np.flatnonzero(index >= 0)
    if len(known):
        # A row's list is made once, however many impressions share it.
        distinct, which = np.unique(index[known], return_inverse=True)
        made = table[name].take(distinct).to_pylist()
        for position, at in zip(known, which, strict=True):
            lists[position] = made[at] or []
    for position in np.flatnonzero(index < 0):
        lists[position] = []
    return lists
