"""Final rows with Feast's features of the impression's moment, and how far serving's logged ones were from them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from springtide.contracts.errors import ShapeError
from springtide.contracts.events import SlateFeatures
from springtide.contracts.features import (
    COUNTS,
    FEAST_ITEM_KEY,
    FEAST_ITEM_VIEW,
    FEAST_USER_KEY,
    FEAST_USER_VIEW,
    FEATURE_TIME,
    USER_FEATURES,
    USER_LISTS,
    feast_column,
)
from springtide.contracts.samples import Sample
from springtide.feature_join.point_in_time import PointInTimeFeatures

Floats = NDArray[np.float64]
WAIT_SECONDS: Final = 60.0
"""Wall time to wait for the writer's repository at its first use."""


class MomentFeatures:
    """Joins samples; price, birth and category come from the catalogue, so they stay as logged."""

    def __init__(self, feast_folder: Path) -> None:
        self._source = PointInTimeFeatures(feast_folder, wait_seconds=WAIT_SECONDS)

    def join(self, samples: Sequence[Sample]) -> tuple[list[Sample], dict[str, Any]]:
        """Return the samples with features of their moment, and the skew per feature.

        Raises:
            ShapeError: Feast gave another number of rows than it got.
        """
        rows = _entity_rows(samples)
        joined = self._source.join(rows, lag=timedelta(0))
        if len(joined) != len(rows):
            raise ShapeError(f"trainer: expected {len(rows)} rows back from Feast, got {len(joined)}; report this")
        moment = _Moment(joined)
        completed = []
        start = 0
        for sample in samples:
            end = start + len(sample.item_ids)
            features = moment.features(sample, start, end)
            completed.append(msgspec.structs.replace(sample, features=features))
            start = end
        return completed, skew_of(samples, completed)


def skew_of(logged: Sequence[Sample], joined: Sequence[Sample]) -> dict[str, Any]:
    """Compare serving's features with those of the moment, feature by feature.

    Returns:
        Per feature: values compared, means of both, mean absolute difference, and share that differs by over 1 %.
    """
    report = {}
    for name in COUNTS:
        report[f"item.{name}"] = _difference(_items(logged, name), _items(joined, name))
    for name in USER_FEATURES:
        report[f"user.{name}"] = _difference(_users(logged, name), _users(joined, name))
    return report


def _difference(logged: Floats, joined: Floats) -> dict[str, float]:
    gap = np.abs(logged - joined)
    return {
        "values": len(logged),
        "logged_mean": float(logged.mean()),
        "joined_mean": float(joined.mean()),
        "mean_gap": float(gap.mean()),
        "share_differing": float((gap > 0.01 * np.maximum(1.0, np.abs(joined))).mean()),
    }


def _items(samples: Sequence[Sample], name: str) -> Floats:
    columns = [
        sample.features.item.get(name) or [0.0] * len(sample.item_ids)
        for sample in samples
        if sample.features is not None
    ]
    return np.array([value for column in columns for value in column], np.float64)


def _users(samples: Sequence[Sample], name: str) -> Floats:
    values = [sample.features.user.get(name, 0.0) for sample in samples if sample.features is not None]
    return np.array(values, np.float64)


def _entity_rows(samples: Sequence[Sample]) -> pd.DataFrame:
    sizes = [len(sample.item_ids) for sample in samples]
    return pd.DataFrame(
        {
            "row_id": [f"{s.request_id}:{item}:{place}" for s in samples for place, item in enumerate(s.item_ids)],
            FEAST_USER_KEY: np.repeat(np.array([sample.user_id for sample in samples], object), sizes),
            FEAST_ITEM_KEY: np.array([item for sample in samples for item in sample.item_ids], object),
            "event_time_ms": np.repeat(np.array([s.impression_time_ms for s in samples], np.int64), sizes),
        }
    )


class _Moment:
    """The joined columns as arrays."""

    def __init__(self, joined: pd.DataFrame) -> None:
        def column(view: str, name: str) -> NDArray[Any]:
            return joined[feast_column(view, name)].to_numpy()

        self._user = {name: column(FEAST_USER_VIEW, name) for name in (FEATURE_TIME, *USER_FEATURES)}
        self._item = {name: np.nan_to_num(column(FEAST_ITEM_VIEW, name)) for name in COUNTS}
        self._lists = {name: column(FEAST_USER_VIEW, name) for name in USER_LISTS}

    def features(self, sample: Sample, start: int, end: int) -> SlateFeatures | None:
        """Return one slate's features; the user's are those of its first row, since all share user and time."""
        logged = sample.features
        if logged is None:
            return None
        user = {name: float(values[start]) for name, values in self._user.items() if not np.isnan(values[start])}
        time_ms = user.pop(FEATURE_TIME, 0.0)
        item = {name: values[start:end].tolist() for name, values in self._item.items()}
        return SlateFeatures(
            version=logged.version,
            feature_time_ms=int(time_ms),
            user=user,
            item={**logged.item, **item},
            item_category=logged.item_category,
            **{name: np.asarray(values[start]).tolist() for name, values in self._lists.items()},
        )
