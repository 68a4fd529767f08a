"""Sample ratio mismatch: are users split as planned? Also under a ramp, and on every look.

Expected counts add up phase by phase; against only the current split a healthy 1 -> 50 % ramp looks
broken beyond doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any, Self

import numpy as np
from scipy.special import chdtrc, gammaln


@dataclass(frozen=True, slots=True)
class Phase:
    """Users first seen under one set of weights."""

    weights: Mapping[str, float]
    counts: Mapping[str, int]


def expected_counts(phases: Sequence[Phase]) -> dict[str, float]:
    """Return expected users per arm: sum over phases of phase users times weights."""
    expected: dict[str, float] = {}
    for phase in phases:
        total, weight = sum(phase.counts.values()), sum(phase.weights.values())
        for arm, share in phase.weights.items():
            expected[arm] = expected.get(arm, 0.0) + total * share / weight
    return expected


def chi_square_p(phases: Sequence[Phase], least_expected: float = 5.0) -> float | None:
    """Return Pearson's p-value for one look; None below two arms or while a cell expects under 5 users.

    Looked at repeatedly it raises false alarms; use `SequentialSrm` then.
    """
    expected = expected_counts(phases)
    cells = {arm: count for arm, count in expected.items() if count > 0.0}
    if len(cells) < 2 or min(cells.values()) < least_expected:
        return None
    observed = {arm: sum(phase.counts.get(arm, 0) for phase in phases) for arm in cells}
    statistic = sum((observed[arm] - cells[arm]) ** 2 / cells[arm] for arm in cells)
    return float(chdtrc(len(cells) - 1, statistic))


@dataclass(slots=True)
class SequentialSrm:
    """Anytime-valid SRM test: a Bayes factor per phase, multiplied (Lindon and Malek 2022, arXiv 2011.03567).

    Within a phase the alternative is a Dirichlet around the planned weights. The running minimum of
    1 / Bayes factor is a p-value at every look, whatever the ramp does between phases.
    """

    concentration: float = 1_000.0
    """Tightness of the alternative around the plan: about 1 / sqrt(concentration) off per arm. Higher
    finds small mismatches in large samples sooner, lower finds gross ones in few users."""
    closed: float = 0.0
    """Log Bayes factor of finished phases."""
    weights: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    best: float = 0.0
    """Largest log Bayes factor at any look."""

    def start_phase(self, weights: Mapping[str, float]) -> None:
        """Go over to new planned weights; users counted from now on belong to the new phase.

        Raises:
            ValueError: fewer than two arms with a positive weight.
        """
        positive = {arm: weight for arm, weight in weights.items() if weight > 0.0}
        if len(positive) < 2:
            raise ValueError(f"SequentialSrm: expected two arms with weight > 0, got {dict(weights)}; add one")
        self.closed += self._open()
        total = sum(positive.values())
        self.weights = {arm: weight / total for arm, weight in positive.items()}
        self.counts = dict.fromkeys(self.weights, 0)

    def add(self, new_users: Mapping[str, int]) -> float:
        """Count users first seen since the last call, by arm, and return the p-value.

        A user in an arm that should get nobody is a certain mismatch: p becomes 0.

        Raises:
            ValueError: no phase was started, or a count is negative.
        """
        if not self.weights or any(count < 0 for count in new_users.values()):
            raise ValueError("SequentialSrm: expected a started phase and counts >= 0; call start_phase first")
        for arm, count in new_users.items():
            if count and arm not in self.weights:
                self.best = float("inf")
            elif count:
                self.counts[arm] += count
        self.best = max(self.best, self.closed + self._open())
        return self.p_value

    def _open(self) -> float:
        if not self.weights:
            return 0.0
        plan = np.array([self.weights[arm] for arm in self.weights])
        count = np.array([self.counts[arm] for arm in self.weights], dtype=np.float64)
        prior = self.concentration * plan
        marginal = gammaln(prior.sum()) - gammaln(prior.sum() + count.sum())
        marginal += float((gammaln(prior + count) - gammaln(prior)).sum())
        return float(marginal - count @ np.log(plan))

    @property
    def p_value(self) -> float:
        """Smallest 1 / Bayes factor so far, at most 1."""
        return exp(-self.best) if self.best > 0.0 else 1.0

    def mismatch(self, alpha: float = 0.01) -> bool:
        """Whether the split is broken, at a false-alarm probability of `alpha` over all looks."""
        return self.best > -log(alpha)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {
            "concentration": self.concentration,
            "closed": self.closed,
            "weights": self.weights,
            "counts": self.counts,
            "best": "certain" if self.best == float("inf") else self.best,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the test that `to_dict` wrote."""
        best = float("inf") if state["best"] == "certain" else float(state["best"])
        closed, weights = float(state["closed"]), dict(state["weights"])
        return cls(float(state["concentration"]), closed, weights, dict(state["counts"]), best)
