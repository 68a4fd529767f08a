"""What other fusion weights would have earned, from logged slates. Shapes: S slates, N candidates, K positions.

The logged policy fills position by position: with probability 1 - epsilon the best candidate left, else one drawn
evenly from all left (serving's policy). So for any fused scores the probability of what was logged is known, given what
stands above it. What position k earns is weighted by the product of the ratios down to k (per-decision importance
sampling, Precup et al. 2000), self-normalised per position (SNIPS, Swaminathan and Joachims 2015), and the positions
add up. It takes the fused scores of all candidates,
not of the shown ones alone.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from springtide.experiments.off_policy import (
    LEAST_EFFECTIVE_ROWS,
    PolicyValue,
    effective_rows,
    importance_weights,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedSlates:
    """S slates of K positions out of N candidates each."""

    placed_SK: NDArray[np.int64]
    """Candidate at each position."""
    propensities_SK: Floats
    """Of it, given what stands above, as serving logged it."""
    rewards_SK: Floats
    """What it earned."""


def placing_probabilities(fused_SN: Floats, placed_SK: NDArray[np.int64], epsilon: float) -> Floats:
    """Return the probability of each placement given those above it, if `fused_SN` ranked, (S, K).

    Equal scores keep the candidates' order, as in serving.

    Raises:
        ValueError: epsilon is not 0 to 1, or a slate has more positions than candidates.
    """
    if not 0.0 <= epsilon <= 1.0 or placed_SK.shape[1] > fused_SN.shape[1]:
        got = f"{epsilon}, {placed_SK.shape} and {fused_SN.shape}"
        raise ValueError(f"placing_probabilities: expected epsilon 0 to 1 and K <= N, got {got}; align them")
    rows_S = np.arange(len(fused_SN))
    left_SN = np.array(fused_SN, np.float64)
    probabilities_SK = np.empty(placed_SK.shape)
    for position in range(placed_SK.shape[1]):
        placed_S = placed_SK[:, position]
        best_S = left_SN.argmax(axis=1) == placed_S
        probabilities_SK[:, position] = (1.0 - epsilon) * best_S + epsilon / (fused_SN.shape[1] - position)
        left_SN[rows_S, placed_S] = -np.inf
    return probabilities_SK


def replay(logged: LoggedSlates, fused_SN: Floats, epsilon: float, floor: float = LEAST_EFFECTIVE_ROWS) -> PolicyValue:
    """Return what a slate would have earned on average.

    Its `effective_rows` are those of the position that has fewest; below `floor` there is no value but a refusal.

    Args:
        logged: what was served and what it earned.
        fused_SN: every candidate's score under the weights in question.
        epsilon: of the policy in question.
        floor: least effective slates to answer at all.

    Raises:
        ValueError: shapes do not fit, or a propensity is not in (0, 1].
    """
    target_SK = placing_probabilities(fused_SN, logged.placed_SK, epsilon)
    ratios = importance_weights(target_SK.ravel(), logged.propensities_SK.ravel())
    weights_SK = ratios.reshape(target_SK.shape).cumprod(axis=1)
    slates = len(fused_SN)
    effective = min((effective_rows(weights_S) for weights_S in weights_SK.T), default=0.0)
    if slates < 2 or effective < floor:
        words = f"effective slates {effective:.0f} of {slates} are below {floor:.0f}; explore more or log longer"
        return PolicyValue("snips", None, None, effective, words)
    totals_K = weights_SK.sum(axis=0)
    values_K = (weights_SK * logged.rewards_SK).sum(axis=0) / totals_K
    influence_S = (weights_SK * (logged.rewards_SK - values_K) * slates / totals_K).sum(axis=1)
    return PolicyValue("snips", float(values_K.sum()), float(influence_S.std(ddof=1)) / sqrt(slates), effective)
