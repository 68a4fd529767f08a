"""Value of a policy that never ran, from logged propensities."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
LEAST_EFFECTIVE_ROWS = 200.0


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """An off-policy estimate, or the reason why there is none."""

    method: str
    value: float | None
    standard_error: float | None
    effective_rows: float
    """(sum w)^2 / sum w^2: how many on-policy rows the weights are worth."""
    refusal: str | None = None


def importance_weights(target_N: ArrayLike, logged_N: ArrayLike) -> Floats:
    """Return pi(a|x) / p0(a|x) per logged action, shape (N,).

    Raises:
        ValueError: lengths differ, a logged propensity is not in (0, 1], or a target one not in [0, 1].
    """
    target, logged = np.asarray(target_N, np.float64), np.asarray(logged_N, np.float64)
    if target.shape != logged.shape or target.ndim != 1:
        raise ValueError(f"importance_weights: expected equal (N,), got {target.shape} and {logged.shape}; align them")
    if not bool(((logged > 0.0) & (logged <= 1.0)).all()):
        raise ValueError("logged_N: expected propensities in (0, 1], got others; such rows cannot be weighted")
    if not bool(((target >= 0.0) & (target <= 1.0)).all()):
        raise ValueError("target_N: expected probabilities in [0, 1], got others; check the target policy")
    return target / logged


def effective_rows(weights_N: Floats) -> float:
    """Return Kish's effective sample size, 0 for no weight."""
    square = float(weights_N @ weights_N)
    return float(weights_N.sum()) ** 2 / square if square > 0.0 else 0.0


def _answer(method: str, weights_N: Floats, value: float, influence_N: Floats, floor: float) -> PolicyValue:
    rows, effective = len(weights_N), effective_rows(weights_N)
    if rows < 2 or effective < floor:
        words = f"effective rows {effective:.0f} of {rows} are below {floor:.0f}; explore more or log longer"
        return PolicyValue(method, None, None, effective, words)
    return PolicyValue(method, value, float(influence_N.std(ddof=1)) / sqrt(rows), effective)


def inverse_propensity(rewards_N: ArrayLike, weights_N: Floats, floor: float = LEAST_EFFECTIVE_ROWS) -> PolicyValue:
    """Return IPS = mean(w r): unbiased, high variance (Horvitz and Thompson 1952)."""
    terms = weights_N * np.asarray(rewards_N, np.float64)
    return _answer("ips", weights_N, float(terms.mean()) if len(terms) else 0.0, terms, floor)


def self_normalised(rewards_N: ArrayLike, weights_N: Floats, floor: float = LEAST_EFFECTIVE_ROWS) -> PolicyValue:
    """Return SNIPS = sum(w r) / sum(w): slightly biased, bounded by the rewards (Swaminathan 2015)."""
    rewards = np.asarray(rewards_N, np.float64)
    total = float(weights_N.sum())
    value = float(weights_N @ rewards) / total if total > 0.0 else 0.0
    scale = len(rewards) / total if total > 0.0 else 0.0
    return _answer("snips", weights_N, value, weights_N * (rewards - value) * scale, floor)


def doubly_robust(
    rewards_N: ArrayLike,
    weights_N: Floats,
    predicted_logged_N: ArrayLike,
    predicted_target_N: ArrayLike,
    floor: float = LEAST_EFFECTIVE_ROWS,
) -> PolicyValue:
    """Return DR = mean(q(x, pi) + w (r - q(x, a))) (Dudik et al. 2011, arXiv 1103.4601).

    Right when either the propensities or the reward model is right.

    Args:
        rewards_N: Observed rewards.
        weights_N: `importance_weights`.
        predicted_logged_N: Reward model on the logged action, q(x, a).
        predicted_target_N: Reward model averaged over the target policy, q(x, pi).
        floor: Least effective rows to answer at all.
    """
    logged = np.asarray(predicted_logged_N, np.float64)
    residual = np.asarray(rewards_N, np.float64) - logged
    terms = np.asarray(predicted_target_N, np.float64) + weights_N * residual
    return _answer("dr", weights_N, float(terms.mean()) if len(terms) else 0.0, terms, floor)
