"""Training-serving skew: the values that serving logged against those that the training join gives, per feature."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from springtide.contracts.errors import ShapeError
from springtide.contracts.events import SlateFeatures
from springtide.contracts.features import (
    COUNTS,
    FEAST_ITEM_VIEW,
    FEAST_USER_VIEW,
    FEATURE_TIME,
    USER_FEATURES,
    USER_LISTS,
    feast_column,
)

_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSkew:
    """One feature over N rows."""

    rows: int
    match_share: float
    """Share of rows on which both say the same, both knowing nothing included; 0 to 1."""
    mean_abs_difference: float
    """Mean absolute difference over the rows on which both know a number, in the feature's unit; NaN for lists."""
    logged_null_share: float
    """Share of rows for which serving knew nothing."""
    joined_null_share: float
    """Share of rows for which the join found nothing."""


def logged_rows(slates: Iterable[SlateFeatures]) -> pd.DataFrame:
    """Lay logged features out as the training join does: a row per item, in slate order, one slate after another."""
    columns: dict[str, list[Any]] = {}
    for slate in slates:
        count = max((len(values) for values in slate.item.values()), default=len(slate.item_category))
        time_ms = float(slate.feature_time_ms) if slate.feature_time_ms else np.nan
        user = {FEATURE_TIME: time_ms, **{name: slate.user.get(name, np.nan) for name in USER_FEATURES}}
        user.update({name: getattr(slate, name) for name in USER_LISTS})
        for name, value in user.items():
            columns.setdefault(feast_column(FEAST_USER_VIEW, name), []).extend([value] * count)
        for name in COUNTS:
            values = slate.item.get(name) or [np.nan] * count
            columns.setdefault(feast_column(FEAST_ITEM_VIEW, name), []).extend(values)
    return pd.DataFrame(columns)


def skew_report(logged: pd.DataFrame, joined: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Compare every feature that both frames hold.

    Args:
        logged: N rows, as `logged_rows` makes them.
        joined: the same N rows in the same order, as PointInTimeFeatures.join gives them.

    Returns:
        Column name to FeatureSkew as a dict.

    Raises:
        ShapeError: the frames differ in length.
    """
    if len(logged) != len(joined):
        raise ShapeError(f"skew: expected {len(logged)} joined rows, one per logged row, got {len(joined)}; align them")
    shared = [column for column in logged.columns if column in joined.columns]
    return {column: asdict(_compare(logged[column].to_numpy(), joined[column].to_numpy(), column)) for column in shared}


def _compare(logged: NDArray[Any], joined: NDArray[Any], column: str) -> FeatureSkew:
    if column.endswith(tuple(f"__{name}" for name in USER_LISTS)):
        left_null, right_null = _empty(logged), _empty(joined)
        same = np.fromiter((list(a) == list(b) for a, b in zip(logged, joined, strict=True)), bool, len(logged))
        difference = np.nan
    else:
        left, right = logged.astype(np.float64), joined.astype(np.float64)
        left_null, right_null = np.isnan(left), np.isnan(right)
        same = np.isclose(left, right, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
        both = ~left_null & ~right_null
        difference = float(np.abs(left[both] - right[both]).mean()) if both.any() else np.nan
    return FeatureSkew(
        rows=len(logged),
        match_share=_share(same),
        mean_abs_difference=difference,
        logged_null_share=_share(left_null),
        joined_null_share=_share(right_null),
    )


def _empty(lists: Sequence[Any] | NDArray[Any]) -> NDArray[np.bool_]:
    return np.fromiter((len(some) == 0 for some in lists), bool, len(lists))


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0
