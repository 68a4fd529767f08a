"""AUC from a histogram of logits, O(1) in memory and mergeable across processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.rows import Floats, Ints, State, as_rows, clip

BINS = 256
LOGIT_BOUND = 12.0
"""Logits beyond +-12 (probability 6e-6 from the edge) share the outermost bins."""


def logit_bins(probabilities_N: Floats) -> Ints:
    """Return the bin of each probability, shape (N,), values 0..BINS-1."""
    p = clip(probabilities_N)
    logits = np.log(p) - np.log1p(-p)
    scaled = (logits + LOGIT_BOUND) * (BINS / (2.0 * LOGIT_BOUND))
    return np.clip(scaled.astype(np.int64), 0, BINS - 1)


def exact_auc(scores_N: Floats, labels_N: Floats) -> float | None:
    """Return the AUC of binary labels with half credit for ties (Mann-Whitney), None with one class only."""
    positive = labels_N > 0.5
    positives = int(positive.sum())
    negatives = len(labels_N) - positives
    if positives == 0 or negatives == 0:
        return None
    _, group_N, size_G = np.unique(scores_N, return_inverse=True, return_counts=True)
    mean_rank_G = np.cumsum(size_G) - (size_G - 1) / 2.0
    rank_sum = float(mean_rank_G[group_N][positive].sum())
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives)


def _zeros() -> Floats:
    return np.zeros(BINS, dtype=np.float64)


@dataclass(slots=True)
class HistogramAuc:
    """AUC over 256 logit bins; rows that share a bin count as ties."""

    positives_B: Floats = field(default_factory=_zeros)
    negatives_B: Floats = field(default_factory=_zeros)

    def update(self, probabilities_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None = None) -> None:
        """Add N rows; a label y adds mass y to the positives and 1 - y to the negatives."""
        p, y, w = as_rows(probabilities_N, labels_N, weights_N)
        bins = logit_bins(p)
        self.positives_B += np.bincount(bins, weights=w * y, minlength=BINS)
        self.negatives_B += np.bincount(bins, weights=w * (1.0 - y), minlength=BINS)

    def merge(self, other: Self) -> Self:
        """Return the measure of both row sets."""
        return type(self)(self.positives_B + other.positives_B, self.negatives_B + other.negatives_B)

    @property
    def value(self) -> float | None:
        """AUC, or None when one class is missing."""
        positives = float(self.positives_B.sum())
        negatives = float(self.negatives_B.sum())
        if positives <= 0.0 or negatives <= 0.0:
            return None
        below_B = np.cumsum(self.negatives_B) - self.negatives_B / 2.0
        return float(self.positives_B @ below_B) / (positives * negatives)

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {"positives": self.positives_B.tolist(), "negatives": self.negatives_B.tolist()}

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the measure that `to_dict` wrote.

        Raises:
            ValueError: the state has another number of bins.
        """
        if len(state["positives"]) != BINS or len(state["negatives"]) != BINS:
            raise ValueError(f"HistogramAuc: expected {BINS} bins, got {len(state['positives'])}; rebuild the state")
        return cls(np.asarray(state["positives"], np.float64), np.asarray(state["negatives"], np.float64))
