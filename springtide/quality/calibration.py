"""Calibration: predicted over observed positives, with an interval that needs no resampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from numpy.typing import ArrayLike
from scipy.special import gammaincinv

from springtide.quality.rows import State, as_rows


def poisson_interval(count: float, level: float) -> tuple[float, float]:
    """Return the exact (Garwood 1936) interval of a Poisson mean given an observed count >= 0.

    It is conservative for rare binary labels, whose variance is below the Poisson variance.
    """
    tail = (1.0 - level) / 2.0
    low = float(gammaincinv(count, tail)) if count > 0.0 else 0.0
    return low, float(gammaincinv(count + 1.0, 1.0 - tail))


@dataclass(slots=True)
class Calibration:
    """Sum of predictions over sum of labels; 1 is calibrated, above 1 is over-prediction."""

    sum_predicted: float = 0.0
    sum_label: float = 0.0
    sum_label_squared: float = 0.0

    def update(self, probabilities_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None = None) -> None:
        """Add N rows; errors as in `as_rows`."""
        p, y, w = as_rows(probabilities_N, labels_N, weights_N)
        mass = w * y
        self.sum_predicted += float(w @ p)
        self.sum_label += float(mass.sum())
        self.sum_label_squared += float(mass @ mass)

    def merge(self, other: Self) -> Self:
        """Return the measure of both row sets."""
        return type(self)(
            self.sum_predicted + other.sum_predicted,
            self.sum_label + other.sum_label,
            self.sum_label_squared + other.sum_label_squared,
        )

    @property
    def value(self) -> float | None:
        """Ratio, or None before the first positive label."""
        return self.sum_predicted / self.sum_label if self.sum_label > 0.0 else None

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Return (low, high) of the ratio at `level`, or None before the first positive label.

        The observed count is Poisson; with weights it is the effective count (sum w y)^2 / sum (w y)^2.
        """
        if self.sum_label <= 0.0:
            return None
        effective = self.sum_label**2 / self.sum_label_squared
        low, high = poisson_interval(effective, level)
        ratio = self.sum_predicted / self.sum_label
        return ratio * effective / high, ratio * effective / low

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {
            "sum_predicted": self.sum_predicted,
            "sum_label": self.sum_label,
            "sum_label_squared": self.sum_label_squared,
        }

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the measure that `to_dict` wrote."""
        return cls(float(state["sum_predicted"]), float(state["sum_label"]), float(state["sum_label_squared"]))
