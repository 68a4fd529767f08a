"""Checked numpy views of the rows that every quality accumulator reads."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
State = dict[str, Any]

PROBABILITY_FLOOR = 1e-7
"""Probabilities are clipped to [floor, 1 - floor] before a logarithm or a division."""


class Accumulator(Protocol):
    """What every mergeable quality measure offers."""

    def update(
        self,
        probabilities_N: ArrayLike,
        labels_N: ArrayLike,
        weights_N: ArrayLike | None = None,
    ) -> None:
        """Add N rows."""

    def merge(self, other: Self) -> Self:
        """Return the measure of both row sets; neither operand changes."""

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the measure that `to_dict` wrote."""

    @property
    def value(self) -> float | None:
        """The measure, or None when there is no data to answer from."""


def as_floats(name: str, values: ArrayLike) -> Floats:
    """Return `values` as one-dimensional finite float64.

    Raises:
        ValueError: the shape is not (N,), or a value is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected shape (N,), got {array.shape}; flatten it first")
    if not bool(np.isfinite(array).all()):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity; drop and count them")
    return array


def check_same_length(name: str, values: NDArray[Any], rows: int) -> None:
    """Raise ValueError unless `values` holds one entry per row."""
    if len(values) != rows:
        raise ValueError(f"{name}: expected {rows} rows, got {len(values)}; pass one per probability")


def as_rows(
    probabilities_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return checked (probabilities, labels, weights), each float64 of shape (N,).

    Labels may be fractions or exceed 1, because an inverse-completeness label is y / F(age).

    Raises:
        ValueError: lengths differ, a probability is outside [0, 1], or a label or weight is negative.
    """
    probabilities = as_floats("probabilities_N", probabilities_N)
    labels = as_floats("labels_N", labels_N)
    rows = len(probabilities)
    weights = np.ones(rows) if weights_N is None else as_floats("weights_N", weights_N)
    check_same_length("labels_N", labels, rows)
    check_same_length("weights_N", weights, rows)
    if rows:
        if probabilities.min() < 0.0 or probabilities.max() > 1.0:
            raise ValueError("probabilities_N: expected values in [0, 1], got others; apply sigmoid first")
        if labels.min() < 0.0 or weights.min() < 0.0:
            raise ValueError("labels_N, weights_N: expected values >= 0, got a negative; check the source")
    return probabilities, labels, weights


def clip(probabilities_N: Floats) -> Floats:
    """Return probabilities moved off exactly 0 and 1."""
    return np.clip(probabilities_N, PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
