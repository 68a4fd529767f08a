"""What the figures of rows will be, told before any label has come, by a model that is calibrated; with intervals.

Performance estimation from confidence (CBPE, docs of NannyML/nannyml): take each row's label to be a coin that falls
with its probability. A TaskQuality that was given the probabilities in place of labels holds the expectation of each
figure. Its spread follows from the variance p (1 - p) of each label through the figure's derivative by it (delta
method); the histogram's bins hold both well enough, since p hardly varies inside one. Blind to concept drift: what
matured figures say later, less this, is the drift. So this is an estimate and never an alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from scipy.special import ndtri

from springtide.quality.normalized_entropy import base_rate_entropy
from springtide.quality.rows import Floats
from springtide.quality.task_quality import TaskQuality


@dataclass(frozen=True, slots=True)
class Expected:
    """A figure's expectation and the interval in which the figure of the rows' real labels will lie."""

    value: float
    low: float
    high: float


def expected_figures(quality: TaskQuality, level: float = 0.95) -> dict[str, Expected]:
    """Return base_rate, log_loss, ne and auc of rows whose labels nobody has seen.

    Args:
        quality: was updated with probabilities as labels, of rows of weight 1.
        level: of the intervals; normal, so trust them from some ten expected positives on.

    Returns:
        Nothing where the rows cannot answer: there are none, or all are sure.
    """
    auc, loss, rate = quality.auc.value, quality.report().log_loss, quality.entropy.base_rate
    entropy = base_rate_entropy(rate) if rate is not None else None
    if auc is None or loss is None or rate is None or entropy is None:
        return {}
    rows = quality.entropy.sum_weight
    variance_B, logit_B = _labels_by_bin(quality)
    slope_rate_B = np.full(len(logit_B), 1.0 / rows)
    slope_loss_B = -logit_B / rows
    slope_entropy_B = slope_loss_B / entropy - loss / entropy**2 * log((1.0 - rate) / rate) * slope_rate_B
    figures = {
        "base_rate": (rate, slope_rate_B),
        "log_loss": (loss, slope_loss_B),
        "ne": (loss / entropy, slope_entropy_B),
        "auc": (auc, _slope_of_auc(quality, auc)),
    }
    half = float(ndtri(0.5 + level / 2.0))
    spread = {name: half * float(np.sqrt(variance_B @ slope_B**2)) for name, (_, slope_B) in figures.items()}
    return {name: Expected(value, value - spread[name], value + spread[name]) for name, (value, _) in figures.items()}


def _labels_by_bin(quality: TaskQuality) -> tuple[Floats, Floats]:
    """Return per bin the sum of p (1 - p) and the log odds of its rows, 0 where it has none; both (B,)."""
    likely_B, unlikely_B = quality.auc.positives_B, quality.auc.negatives_B
    mass_B = likely_B + unlikely_B
    both_B = (likely_B > 0.0) & (unlikely_B > 0.0)
    variance_B = np.divide(likely_B * unlikely_B, mass_B, out=np.zeros_like(mass_B), where=both_B)
    ratio_B = np.divide(likely_B, unlikely_B, out=np.ones_like(mass_B), where=both_B)
    return variance_B, np.log(ratio_B)


def _slope_of_auc(quality: TaskQuality, auc: float) -> Floats:
    """Return the derivative of AUC by a label in each bin, (B,): pairs won and lost by turning a negative positive."""
    likely_B, unlikely_B = quality.auc.positives_B, quality.auc.negatives_B
    positives, negatives = float(likely_B.sum()), float(unlikely_B.sum())
    below_B = np.cumsum(unlikely_B) - unlikely_B / 2.0
    above_B = positives - np.cumsum(likely_B) + likely_B / 2.0
    return (below_B - above_B) / (positives * negatives) - auc * (1.0 / positives - 1.0 / negatives)
