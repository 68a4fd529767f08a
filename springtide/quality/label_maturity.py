"""How complete labels of a given age are: F(a) = P(label arrived within a | it arrives in its window).

Positives of young impressions are right-truncated: only the fast ones are there yet, and counting
them as they come bends F upwards. Each delay therefore comes with the age its impression had when
we looked, and F is the product-limit estimate under right truncation (Lynden-Bell 1971), on a
log-spaced histogram. When every age exceeds the window it is the plain empirical distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.rows import Bools, Floats, State, as_floats, check_same_length

FIRST_EDGE_MS = 1_000.0
COMPLETENESS_FLOOR = 0.2
"""Younger rows than this are dropped by `inverse_completeness`: their weight would be over 5."""


def log_edges(window_ms: int, bins: int) -> Floats:
    """Return bins + 1 delay edges in ms: 0, then log-spaced from one second to the window.

    Raises:
        ValueError: the window is not longer than a second, or there are fewer than two bins.
    """
    if window_ms <= FIRST_EDGE_MS or bins < 2:
        raise ValueError(f"log_edges: expected a window over 1000 ms and 2 bins, got {window_ms} and {bins}")
    return np.concatenate([[0.0], np.geomspace(FIRST_EDGE_MS, float(window_ms), bins)])


@dataclass(slots=True)
class DelayCurve:
    """Delay distribution of one task's labels, mergeable."""

    window_ms: int
    bins: int = 96
    delays_B: Floats = field(default_factory=lambda: np.zeros(0))
    ages_B: Floats = field(default_factory=lambda: np.zeros(0))
    negative_delays: int = 0
    outside_window: int = 0

    def __post_init__(self) -> None:
        log_edges(self.window_ms, self.bins)
        if not len(self.delays_B):
            self.delays_B = np.zeros(self.bins)
            self.ages_B = np.zeros(self.bins + 1)

    @property
    def edges_ms(self) -> Floats:
        """Delay edges in ms, shape (bins + 1,)."""
        return log_edges(self.window_ms, self.bins)

    def add(self, delays_ms_N: ArrayLike, ages_ms_N: ArrayLike | None = None) -> None:
        """Add N labels: delay since the impression, and the impression's age when we looked.

        Without ages the labels must come from closed windows (`final` rows). With ages, look at one
        moment: an age taken when the label arrived equals its delay and says nothing. Delays below
        zero (clock skew) count as 0, delays over the window are left out; both are counted.

        Raises:
            ValueError: lengths differ, or an age is below its delay.
        """
        delays = as_floats("delays_ms_N", delays_ms_N)
        ages = np.full(len(delays), np.inf) if ages_ms_N is None else np.asarray(ages_ms_N, np.float64)
        check_same_length("ages_ms_N", ages, len(delays))
        self.negative_delays += int((delays < 0.0).sum())
        delays = np.maximum(delays, 0.0)
        if bool((ages < delays).any()):
            raise ValueError("ages_ms_N: expected age >= delay, got less; pass the age when you looked")
        inside = delays <= self.window_ms
        self.outside_window += int((~inside).sum())
        inner = self.edges_ms[1:-1]
        self.delays_B += np.bincount(np.searchsorted(inner, delays[inside]), minlength=self.bins)
        closed = ages[inside] >= self.window_ms
        bins = np.where(closed, self.bins, np.searchsorted(inner, ages[inside]))
        self.ages_B += np.bincount(bins, minlength=self.bins + 1)

    def merge(self, other: Self) -> Self:
        """Return the curve of both label sets.

        Raises:
            ValueError: windows or bins differ.
        """
        if (self.window_ms, self.bins) != (other.window_ms, other.bins):
            raise ValueError("DelayCurve: expected equal window and bins; build both with one configuration")
        return type(self)(
            self.window_ms,
            self.bins,
            self.delays_B + other.delays_B,
            self.ages_B + other.ages_B,
            self.negative_delays + other.negative_delays,
            self.outside_window + other.outside_window,
        )

    @property
    def count(self) -> int:
        """Labels within the window."""
        return int(self.delays_B.sum())

    def completeness_at_edges(self) -> Floats | None:
        """Return F at `edges_ms`, shape (bins + 1,), from 0 to 1; None without labels.

        In bin j the reverse hazard is d_j / n_j, n_j being the labels with delay bin <= j whose age
        had reached bin j (half of those whose age lies in it, the actuarial rule). F falls from 1 at
        the window by (1 - hazard) per bin downwards.
        """
        if self.count == 0:
            return None
        young = self.ages_B[:-1]
        too_young = np.cumsum(young) - young / 2.0
        at_risk = np.cumsum(self.delays_B) - too_young
        survival = 1.0 - np.divide(self.delays_B, at_risk, out=np.zeros(self.bins), where=at_risk > 0.0)
        above = np.cumprod(survival[::-1])[::-1]
        return np.concatenate([[0.0], above[1:], [1.0]])

    def completeness(self, ages_ms_N: ArrayLike) -> Floats | None:
        """Return F(age), shape (N,), linear between edges and 1 past the window; None without labels."""
        curve = self.completeness_at_edges()
        if curve is None:
            return None
        return np.asarray(np.interp(np.asarray(ages_ms_N, np.float64), self.edges_ms, curve), np.float64)

    def quantile_ms(self, share: float) -> float | None:
        """Return the delay in ms within which `share` of the labels arrive; None without labels."""
        curve = self.completeness_at_edges()
        if curve is None:
            return None
        right = int(np.searchsorted(curve, share))
        if right == 0:
            return 0.0
        right = min(right, self.bins)
        low, high = curve[right - 1], curve[right]
        part = (share - low) / (high - low) if high > low else 1.0
        edges = self.edges_ms
        return float(edges[right - 1] + part * (edges[right] - edges[right - 1]))

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {
            "window_ms": self.window_ms,
            "bins": self.bins,
            "delays": self.delays_B.tolist(),
            "ages": self.ages_B.tolist(),
            "negative_delays": self.negative_delays,
            "outside_window": self.outside_window,
        }

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the curve that `to_dict` wrote."""
        return cls(
            int(state["window_ms"]),
            int(state["bins"]),
            np.asarray(state["delays"], np.float64),
            np.asarray(state["ages"], np.float64),
            int(state["negative_delays"]),
            int(state["outside_window"]),
        )


def inverse_completeness(
    labels_N: ArrayLike, completeness_N: ArrayLike, floor: float = COMPLETENESS_FLOOR
) -> tuple[Floats, Bools]:
    """Return (y / F of shape (N,), mask of rows old enough to use).

    Use the first in place of the label, on the masked rows only. It makes the expected sum of labels
    right when F fits the row's segment and the delay does not depend on the score within it.
    """
    labels = as_floats("labels_N", labels_N)
    completeness = as_floats("completeness_N", completeness_N)
    check_same_length("completeness_N", completeness, len(labels))
    kept = completeness >= floor
    return np.where(kept, labels / np.maximum(completeness, floor), 0.0), kept
