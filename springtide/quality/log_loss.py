"""Mean log loss of predicted probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.rows import Floats, State, as_rows, clip


def log_losses(probabilities_N: Floats, labels_N: Floats) -> Floats:
    """Return -[y ln p + (1 - y) ln(1 - p)] per row, shape (N,), in nats."""
    p = clip(probabilities_N)
    log_odds = np.log(p) - np.log1p(-p)
    return np.asarray(-(labels_N * log_odds + np.log1p(-p)), dtype=np.float64)


@dataclass(slots=True)
class LogLoss:
    """Weighted mean log loss, in nats per row."""

    sum_weight: float = 0.0
    sum_loss: float = 0.0

    def update(self, probabilities_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None = None) -> None:
        """Add N rows; errors as in `as_rows`."""
        p, y, w = as_rows(probabilities_N, labels_N, weights_N)
        self.sum_weight += float(w.sum())
        self.sum_loss += float(w @ log_losses(p, y))

    def merge(self, other: Self) -> Self:
        """Return the measure of both row sets."""
        return type(self)(self.sum_weight + other.sum_weight, self.sum_loss + other.sum_loss)

    @property
    def value(self) -> float | None:
        """Log loss, or None without rows."""
        return self.sum_loss / self.sum_weight if self.sum_weight > 0.0 else None

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {"sum_weight": self.sum_weight, "sum_loss": self.sum_loss}

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the measure that `to_dict` wrote."""
        return cls(float(state["sum_weight"]), float(state["sum_loss"]))
