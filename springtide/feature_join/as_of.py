"""The as-of join: for each row the newest feature row of the same entity that is strictly older."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from springtide.contracts.errors import ShapeError


def latest_before(
    row_entities: ArrayLike,
    row_times_ms: ArrayLike,
    feature_entities: ArrayLike,
    feature_times_ms: ArrayLike,
    max_age_ms: int,
) -> NDArray[np.int64]:
    """Find for each of N rows its feature row among M.

    Args:
        row_entities: (N,) entity ids.
        row_times_ms: (N,) event times.
        feature_entities: (M,) entity ids, in order of arrival: of two rows of one instant the later counts.
        feature_times_ms: (M,) event times.
        max_age_ms: a feature row older than the row by more than this counts as none.

    Returns:
        (N,) index into the feature rows, -1 where there is none.

    Raises:
        ShapeError: entities and times differ in length.
    """
    left, left_times = np.asarray(row_entities, dtype=object), np.asarray(row_times_ms, dtype=np.int64)
    right, right_times = np.asarray(feature_entities, dtype=object), np.asarray(feature_times_ms, dtype=np.int64)
    if left.shape != left_times.shape or right.shape != right_times.shape:
        shapes = f"{left.shape} with {left_times.shape} and {right.shape} with {right_times.shape}"
        raise ShapeError(f"as-of join: expected an event time per entity, got {shapes}; pass equal lengths")
    none = np.full(len(left), -1, dtype=np.int64)
    if not len(left) or not len(right):
        return none
    codes, _ = pd.factorize(np.concatenate([left, right]))
    keys = _ordered_keys(codes, np.concatenate([left_times, right_times]))
    left_keys, right_keys = keys[: len(left)], keys[len(left) :]
    order = np.argsort(right_keys, kind="stable")
    # "left" puts the row before every feature row of its own instant: strictly older ones only.
    found = np.searchsorted(right_keys[order], left_keys, side="left") - 1
    index = np.where(found >= 0, order[np.maximum(found, 0)], -1)
    same = (index >= 0) & (codes[: len(left)] == codes[len(left) :][index])
    fresh = left_times - right_times[index] <= max_age_ms
    return np.where(same & fresh, index, none)


def _ordered_keys(codes: NDArray[np.int64], times_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fold entity and time into one integer that sorts by entity, then time."""
    earliest = int(times_ms.min())
    span = int(times_ms.max()) - earliest + 1
    if (int(codes.max()) + 1) * span >= np.iinfo(np.int64).max:
        raise ShapeError(
            f"as-of join: expected entities x milliseconds below 2^63, got {int(codes.max()) + 1} x {span}; "
            "join fewer days at once"
        )
    return codes.astype(np.int64) * span + (times_ms - earliest)
