"""Means and co-moments of per-user totals: all that ratio metrics, lift and CUPED need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, means and centred co-moments of K columns over users; merges exactly (Chan et al. 1979)."""

    columns: tuple[str, ...]
    count: int
    mean_K: Floats
    comoment_KK: Floats
    """Sum over users of the outer products of deviations from the mean."""

    @classmethod
    def empty(cls, columns: tuple[str, ...]) -> Self:
        """Return the moments of no users."""
        return cls(columns, 0, np.zeros(len(columns)), np.zeros((len(columns), len(columns))))

    @classmethod
    def of(cls, **columns: ArrayLike) -> Self:
        """Return the moments of named per-user columns, each of shape (U,).

        Raises:
            ValueError: lengths differ or a value is not finite.
        """
        names = tuple(columns)
        arrays = [np.asarray(values, dtype=np.float64) for values in columns.values()]
        if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
            raise ValueError(f"Moments: expected columns of one length, got {[a.shape for a in arrays]}; align them")
        rows = np.stack(arrays, axis=1)
        if not bool(np.isfinite(rows).all()):
            raise ValueError("Moments: expected finite totals, got NaN or infinity; drop those users and say so")
        if not len(rows):
            return cls.empty(names)
        mean = rows.mean(axis=0)
        deviations = rows - mean
        return cls(names, len(rows), mean, deviations.T @ deviations)

    def merge(self, other: Self) -> Self:
        """Return the moments of both user sets, which must be disjoint.

        Raises:
            ValueError: the columns differ.
        """
        if self.columns != other.columns:
            raise ValueError(f"Moments: expected columns {self.columns}, got {other.columns}; use one order")
        count = self.count + other.count
        if count == 0:
            return self
        gap = other.mean_K - self.mean_K
        mean = self.mean_K + gap * (other.count / count)
        between = np.outer(gap, gap) * (self.count * other.count / count)
        return type(self)(self.columns, count, mean, self.comoment_KK + other.comoment_KK + between)

    def mean(self, column: str | None) -> float:
        """Return a column's mean; None stands for the constant 1, so that a mean is a ratio to users."""
        return 1.0 if column is None else float(self.mean_K[self.columns.index(column)])

    def covariance(self, left: str | None, right: str | None) -> float:
        """Return the sample covariance of two columns (ddof 1), 0 against the constant; nan below two users."""
        if self.count < 2:
            return float("nan")
        if left is None or right is None:
            return 0.0
        i, j = self.columns.index(left), self.columns.index(right)
        return float(self.comoment_KK[i, j]) / (self.count - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {
            "columns": list(self.columns),
            "count": self.count,
            "mean": self.mean_K.tolist(),
            "comoment": self.comoment_KK.tolist(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the moments that `to_dict` wrote."""
        mean, comoment = np.asarray(state["mean"], np.float64), np.asarray(state["comoment"], np.float64)
        return cls(tuple(state["columns"]), int(state["count"]), mean, comoment)
