"""Population stability index on frozen reference bins, with a threshold that knows its own noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri

from springtide.quality.rows import Floats, State, as_floats

CUSTOMARY_ALERT = 0.1
"""The usual PSI level for "some shift"."""


@dataclass(slots=True)
class PopulationStability:
    """PSI = sum (q - p) ln(q / p) of live shares q against reference shares p.

    The bins are the reference sample's quantiles and never move.
    """

    edges_E: Floats
    reference_B: Floats
    live_B: Floats

    @classmethod
    def from_reference(cls, sample_N: ArrayLike, bins: int = 10) -> Self:
        """Freeze `bins` quantile bins of a reference sample; equal quantiles share one bin.

        Raises:
            ValueError: the sample has fewer rows than bins.
        """
        sample = as_floats("sample_N", sample_N)
        if len(sample) < bins:
            raise ValueError(f"sample_N: expected at least {bins} rows, got {len(sample)}; wait for more")
        edges = np.unique(np.quantile(sample, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
        reference = cls._counts(edges, sample)
        return cls(edges, reference, np.zeros_like(reference))

    @staticmethod
    def _counts(edges_E: Floats, values_N: Floats) -> Floats:
        bins = np.searchsorted(edges_E, values_N, side="right")
        return np.bincount(bins, minlength=len(edges_E) + 1).astype(np.float64)

    def update(self, values_N: ArrayLike) -> None:
        """Add N live values."""
        self.live_B += self._counts(self.edges_E, as_floats("values_N", values_N))

    def merge(self, other: Self) -> Self:
        """Return the measure of both live sets over the same reference.

        Raises:
            ValueError: the references differ.
        """
        same_edges = np.array_equal(self.edges_E, other.edges_E)
        if not same_edges or not np.array_equal(self.reference_B, other.reference_B):
            raise ValueError("PopulationStability: expected one reference, got two; freeze it once and share it")
        return type(self)(self.edges_E, self.reference_B, self.live_B + other.live_B)

    @property
    def value(self) -> float | None:
        """PSI, or None without live rows. Half a row is added per bin so that an empty bin stays finite."""
        if self.live_B.sum() <= 0.0:
            return None
        p = (self.reference_B + 0.5) / (self.reference_B.sum() + 0.5 * len(self.reference_B))
        q = (self.live_B + 0.5) / (self.live_B.sum() + 0.5 * len(self.live_B))
        return float((q - p) @ np.log(q / p))

    def threshold(self, level: float = 0.99) -> float | None:
        """Return the alert level max(0.1, null quantile), or None without live rows.

        Without drift PSI / (1/n + 1/N) is chi-square with B - 1 degrees of freedom to first order.
        """
        live, reference = float(self.live_B.sum()), float(self.reference_B.sum())
        if live <= 0.0:
            return None
        null = (1.0 / live + 1.0 / reference) * float(chdtri(max(len(self.live_B) - 1, 1), 1.0 - level))
        return max(CUSTOMARY_ALERT, null)

    @property
    def drifted(self) -> bool | None:
        """Whether PSI is above its threshold, or None without live rows."""
        value, threshold = self.value, self.threshold()
        return None if value is None or threshold is None else value > threshold

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {
            "edges": self.edges_E.tolist(),
            "reference": self.reference_B.tolist(),
            "live": self.live_B.tolist(),
        }

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the measure that `to_dict` wrote."""
        edges, reference, live = (np.asarray(state[key], np.float64) for key in ("edges", "reference", "live"))
        return cls(edges, reference, live)
