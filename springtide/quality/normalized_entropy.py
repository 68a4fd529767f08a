"""Normalised entropy: log loss divided by the loss of always predicting the base rate.

He et al. 2014, "Practical Lessons from Predicting Clicks on Ads at Facebook", eq. 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Self

from numpy.typing import ArrayLike

from springtide.quality.log_loss import log_losses
from springtide.quality.rows import State, as_rows


def base_rate_entropy(rate: float) -> float | None:
    """Return the log loss of the constant prediction `rate`, or None when the rate is not in (0, 1)."""
    if not 0.0 < rate < 1.0:
        return None
    return -(rate * log(rate) + (1.0 - rate) * log(1.0 - rate))


@dataclass(slots=True)
class NormalizedEntropy:
    """NE over the base rate of the *same* rows; below 1 is better than the base rate."""

    sum_weight: float = 0.0
    sum_loss: float = 0.0
    sum_label: float = 0.0

    def update(self, probabilities_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None = None) -> None:
        """Add N rows; errors as in `as_rows`."""
        p, y, w = as_rows(probabilities_N, labels_N, weights_N)
        self.sum_weight += float(w.sum())
        self.sum_loss += float(w @ log_losses(p, y))
        self.sum_label += float(w @ y)

    def merge(self, other: Self) -> Self:
        """Return the measure of both row sets."""
        return type(self)(
            self.sum_weight + other.sum_weight,
            self.sum_loss + other.sum_loss,
            self.sum_label + other.sum_label,
        )

    @property
    def base_rate(self) -> float | None:
        """Share of positives, or None without rows."""
        return self.sum_label / self.sum_weight if self.sum_weight > 0.0 else None

    @property
    def value(self) -> float | None:
        """NE, or None when the rows hold only one class."""
        rate = self.base_rate
        entropy = base_rate_entropy(rate) if rate is not None else None
        return None if entropy is None else self.sum_loss / self.sum_weight / entropy

    def against(self, frozen_base_rate: float) -> float | None:
        """NE over a base rate fixed beforehand, so that a drift of the rate itself stays visible."""
        entropy = base_rate_entropy(frozen_base_rate)
        if entropy is None or self.sum_weight <= 0.0:
            return None
        return self.sum_loss / self.sum_weight / entropy

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {"sum_weight": self.sum_weight, "sum_loss": self.sum_loss, "sum_label": self.sum_label}

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the measure that `to_dict` wrote."""
        return cls(float(state["sum_weight"]), float(state["sum_loss"]), float(state["sum_label"]))
