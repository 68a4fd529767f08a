"""Ratio metrics by the delta method and their lift between two arms.

A ratio metric is sum of numerators over sum of denominators, e.g. clicks over impressions. Users are
randomised, so users are the rows; per-impression binomial errors would be far too small.
(Deng, Knoblich and Lu 2018, arXiv 1803.06336.)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

from scipy.special import ndtr, ndtri

from springtide.experiments.moments import Moments


@dataclass(frozen=True, slots=True)
class Ratio:
    """Columns of a metric; a denominator of None makes it a mean per user."""

    numerator: str
    denominator: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value in one arm with the variance of that value."""

    value: float
    variance: float
    users: int

    @property
    def standard_error(self) -> float:
        """Square root of the variance."""
        return sqrt(self.variance)


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between arms, absolute or relative."""

    value: float
    standard_error: float
    low: float
    high: float
    z: float
    p_value: float
    """Two-sided, for one look fixed beforehand; use `sequential` when looking often."""
    users: int


def ratio_covariance(moments: Moments, left: Ratio, right: Ratio) -> float:
    """Return the per-user covariance of two ratio metrics; divide by users for that of the estimates.

    With u_i = (y_i - R x_i) / mean(x) a ratio behaves as the mean of u, so this is cov(u, v).
    """
    r_left = moments.mean(left.numerator) / moments.mean(left.denominator)
    r_right = moments.mean(right.numerator) / moments.mean(right.denominator)
    total = (
        moments.covariance(left.numerator, right.numerator)
        - r_right * moments.covariance(left.numerator, right.denominator)
        - r_left * moments.covariance(left.denominator, right.numerator)
        + r_left * r_right * moments.covariance(left.denominator, right.denominator)
    )
    return total / (moments.mean(left.denominator) * moments.mean(right.denominator))


def ratio_estimate(moments: Moments, metric: Ratio) -> Estimate | None:
    """Return the metric in one arm, or None below two users or with an empty denominator."""
    if moments.count < 2 or moments.mean(metric.denominator) == 0.0:
        return None
    value = moments.mean(metric.numerator) / moments.mean(metric.denominator)
    variance = max(ratio_covariance(moments, metric, metric), 0.0) / moments.count
    return Estimate(value, variance, moments.count)


def _difference(value: float, standard_error: float, level: float, users: int) -> Difference:
    half = float(ndtri(0.5 + level / 2.0)) * standard_error
    if standard_error > 0.0:
        z = value / standard_error
    else:
        z = 0.0 if value == 0.0 else inf * (1.0 if value > 0.0 else -1.0)
    p_value = 2.0 * float(ndtr(-abs(z)))
    return Difference(value, standard_error, value - half, value + half, z, p_value, users)


def absolute_difference(control: Estimate, treatment: Estimate, level: float = 0.95) -> Difference:
    """Return treatment - control with a normal interval at `level`."""
    standard_error = sqrt(control.variance + treatment.variance)
    users = control.users + treatment.users
    return _difference(treatment.value - control.value, standard_error, level, users)


def relative_lift(control: Estimate, treatment: Estimate, level: float = 0.95) -> Difference | None:
    """Return (treatment - control) / |control|, or None when the control is 0.

    var = v_B / m_A^2 + m_B^2 v_A / m_A^4. The absolute value keeps the sign right for a metric below 0.
    """
    base = control.value
    if base == 0.0:
        return None
    variance = treatment.variance / base**2 + treatment.value**2 * control.variance / base**4
    value = (treatment.value - base) / abs(base)
    return _difference(value, sqrt(variance), level, control.users + treatment.users)
