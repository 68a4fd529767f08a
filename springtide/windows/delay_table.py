"""How long labels take, from impressions of which the young ones have not had their time: the product-limit estimate.

An impression that is A old when we look, without a label, says only that its delay is more than A: it is
right-censored. Kaplan and Meier (1958) let it count among those at risk up to the age A and no longer, so young
impressions neither pass for negatives nor bend the curve towards fast labels. On a histogram this is the actuarial
life table: in a bin, those censored within it count half.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from springtide.quality.label_maturity import FIRST_EDGE_MS, log_edges
from springtide.runtime.settings import milliseconds, parse_duration

Floats = npt.NDArray[np.float64]

READABLE: Final = (
    "1s", "2s", "5s", "10s", "20s", "30s", "1m", "2m", "3m", "5m", "10m", "15m", "20m", "30m", "45m", "1h", "2h", "3h",
    "4h", "6h", "8h", "12h", "18h", "1d", "36h", "2d", "3d", "4d", "5d", "7d", "10d", "14d", "21d", "30d",
)  # fmt: skip
"""Durations that people choose; each is an edge of the histogram, so the curve is exact there."""
READABLE_MS: Final = {text: milliseconds(parse_duration(text)) for text in READABLE}

BINS: Final = 160
FEWEST_AT_RISK: Final = 100
"""The curve ends where fewer impressions than this are old enough to speak, or fewer than `LEAST_SHARE` of all."""
LEAST_SHARE: Final = 0.02
_Z: Final = 1.96
"""95 % of the normal law."""


@cache
def make_edges(horizon_ms: int) -> Floats:
    """Return delay edges in ms up to the horizon: log-spaced ones and the readable durations, ascending, from 0."""
    readable = [edge for edge in READABLE_MS.values() if FIRST_EDGE_MS <= edge < horizon_ms]
    edges = np.unique(np.concatenate([log_edges(horizon_ms, BINS), readable]))
    edges.setflags(write=False)  # every table of this horizon has the same
    return edges


@dataclass(frozen=True, slots=True)
class DelayCurve:
    """P(delay <= edge | a label within the reach), with a 95 % interval. E edges, ascending from 0."""

    edges_ms_E: Floats
    """From 0 to the reach: the oldest age at which enough impressions were seen."""
    share_E: Floats
    low_E: Floats
    high_E: Floats
    labels: int
    impressions: int
    rate: float
    """Labels per impression within the reach, corrected for the young."""

    @property
    def reach_ms(self) -> int:
        """The last edge; a later label is beyond what the events can tell."""
        return int(self.edges_ms_E[-1])

    def at(self, delay_ms: float) -> tuple[float, float, float]:
        """Return share, low and high at a delay, linear between edges, 1 beyond the reach."""
        columns = (self.share_E, self.low_E, self.high_E)
        share, low, high = (float(np.interp(delay_ms, self.edges_ms_E, column)) for column in columns)
        return share, low, high


@dataclass(slots=True)
class DelayTable:
    """Counts per bin of delay, of one task; two tables of different events add up."""

    horizon_ms: int
    """Labels later than this are not looked for."""
    labels_B: Floats = field(default_factory=lambda: np.zeros(0))
    censored_B: Floats = field(default_factory=lambda: np.zeros(0))
    """Impressions without a label by the bin of their age; the last entry is the horizon and beyond."""

    def __post_init__(self) -> None:
        if not len(self.censored_B):
            bins = len(make_edges(self.horizon_ms)) - 1
            self.labels_B, self.censored_B = np.zeros(bins), np.zeros(bins + 1)

    def add(self, delays_ms_N: npt.ArrayLike, ages_ms_M: npt.ArrayLike) -> None:
        """Add N impressions by the delay of their first label, and M impressions without one by their age."""
        inner = make_edges(self.horizon_ms)[1:]
        delays = np.asarray(delays_ms_N, np.float64)
        place = np.searchsorted(inner, np.maximum(delays, 0.0))
        counts = np.bincount(place, minlength=len(inner) + 1)
        self.labels_B += counts[:-1]
        self.censored_B[-1] += counts[-1]  # a label beyond the horizon: none within it
        ages = np.searchsorted(inner, np.asarray(ages_ms_M, np.float64), side="right")
        self.censored_B += np.bincount(ages, minlength=len(inner) + 1)

    def merge(self, other: Self) -> Self:
        """Return the table of both sets of events.

        Raises:
            ValueError: the horizons differ.
        """
        if self.horizon_ms != other.horizon_ms:
            raise ValueError(f"DelayTable: expected horizon {self.horizon_ms}, got {other.horizon_ms}; use one")
        labels_B, censored_B = self.labels_B + other.labels_B, self.censored_B + other.censored_B
        return type(self)(self.horizon_ms, labels_B, censored_B)

    @property
    def labels(self) -> int:
        """Labels within the horizon."""
        return int(self.labels_B.sum())

    @property
    def impressions(self) -> int:
        """Impressions with and without a label."""
        return self.labels + int(self.censored_B.sum())

    def curve(self) -> DelayCurve | None:
        """Return the estimate up to its reach; None without labels, or while too few impressions are known."""
        leaving = self.labels_B + self.censored_B[:-1]
        at_risk_B = self.impressions - np.concatenate([[0.0], np.cumsum(leaving)])
        enough = at_risk_B >= max(FEWEST_AT_RISK, LEAST_SHARE * self.impressions)
        last = int(np.flatnonzero(enough)[-1]) if enough.any() else 0
        if last == 0 or not self.labels_B[:last].any():
            return None
        exposed_B = at_risk_B[:last] - self.censored_B[:last] / 2.0
        labels_B = self.labels_B[:last]
        hazard_B = labels_B / exposed_B
        left_E = np.concatenate([[1.0], np.cumprod(1.0 - hazard_B)])
        spared_B = np.maximum(exposed_B - labels_B, 0.5)
        spread_E = np.concatenate([[0.0], np.cumsum(labels_B / (exposed_B * spared_B))])
        share_E = (1.0 - left_E) / (1.0 - left_E[-1])
        low_E, high_E = _interval(share_E, left_E, spread_E, int(labels_B.sum()))
        edges_E = make_edges(self.horizon_ms)[: last + 1]
        rate = float(1.0 - left_E[-1])
        return DelayCurve(edges_E, share_E, low_E, high_E, int(labels_B.sum()), self.impressions, rate)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        return {"horizon_ms": self.horizon_ms, "labels": self.labels_B.tolist(), "censored": self.censored_B.tolist()}


def _interval(share_E: Floats, left_E: Floats, spread_E: Floats, labels: int) -> tuple[Floats, Floats]:
    """Return a 95 % interval of the share: Greenwood's variance, carried to the ratio, in Wilson's form.

    The ratio (1 - S) / (1 - S at the reach) depends on the two independent sums of hazards before and after an edge;
    the delta method gives its variance, and variance against share (1 - share) a number of labels that are worth it.
    """
    end, total = left_E[-1], 1.0 - left_E[-1]
    before = (left_E - end) / total**2
    after = (1.0 - left_E) * end / total**2
    variance_E = before**2 * spread_E + after**2 * (spread_E[-1] - spread_E)
    worth_E = np.divide(
        share_E * (1.0 - share_E), variance_E, out=np.full(len(share_E), float(labels)), where=variance_E > 1e-18
    )
    worth_E = np.clip(worth_E, 1.0, float(labels))
    centre = (share_E + _Z**2 / (2 * worth_E)) / (1 + _Z**2 / worth_E)
    half = _Z * np.sqrt(share_E * (1 - share_E) / worth_E + _Z**2 / (4 * worth_E**2)) / (1 + _Z**2 / worth_E)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
