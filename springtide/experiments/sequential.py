"""Intervals that stay valid however often one looks.

Asymptotic confidence sequences: Waudby-Smith et al. 2021 (arXiv 2103.06476), eq. 24 for two sides and
proposition B.1 for one. They assume each user enters once with a final value, so admit a user to a
purchase metric only when the attribution window has closed (see `user_totals`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log, sqrt

from springtide.experiments.lift import Difference


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialPlan:
    """What is fixed before the first look."""

    alpha: float = 0.05
    """False-alarm probability over all looks together."""

    expected_users: int = 10_000
    """Users of both arms at which the decision is expected; the sequence is tightest there."""

    side: str = "both"
    """both, or above / below for a guardrail that only harm in one direction may trip."""

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 0.5 or self.expected_users < 1 or self.side not in ("both", "above", "below"):
            raise ValueError(
                "SequentialPlan: expected 0 < alpha < 0.5, expected_users >= 1 and side both, above or below, "
                f"got {self.alpha}, {self.expected_users}, {self.side!r}; fix the plan before the start"
            )

    @property
    def mixing(self) -> float:
        """The mixture's scale, tightest at `expected_users`; a one-sided test tunes at 2 alpha."""
        alpha = self.alpha if self.side == "both" else 2.0 * self.alpha
        return sqrt((-2.0 * log(alpha) + log(1.0 - 2.0 * log(alpha))) / self.expected_users)


@dataclass(frozen=True, slots=True)
class Sequence:
    """The confidence sequence at one look."""

    low: float
    high: float
    p_value: float
    """Smallest alpha at which this look excludes 0 under the same plan; take the running minimum."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the effect is real at the plan's alpha."""
        return self.low > 0.0 or self.high < 0.0


def half_width(standard_error: float, users: int, plan: SequentialPlan) -> float:
    """Return the distance from the estimate to the sequence's bound."""
    scale = users * plan.mixing**2
    if plan.side == "both":
        boundary = log(sqrt(scale + 1.0) / plan.alpha)
    else:
        boundary = log(1.0 + sqrt(scale + 1.0) / (2.0 * plan.alpha))
    return standard_error * sqrt(2.0 * (scale + 1.0) / scale * boundary)


def confidence_sequence(effect: Difference, plan: SequentialPlan) -> Sequence:
    """Return the sequence for an absolute or relative difference.

    side "above" bounds the effect from below (low, inf); "below" bounds it from above (-inf, high).
    """
    if effect.users < 2 or effect.standard_error <= 0.0:
        return Sequence(-inf, inf, 1.0)
    half = half_width(effect.standard_error, effect.users, plan)
    low = effect.value - half if plan.side != "below" else -inf
    high = effect.value + half if plan.side != "above" else inf
    return Sequence(low, high, _p_value(effect.z, effect.users, plan))


def _p_value(z: float, users: int, plan: SequentialPlan) -> float:
    scale = users * plan.mixing**2
    evidence = min(z * z * scale / (2.0 * (scale + 1.0)), 700.0)
    if plan.side == "both":
        return min(1.0, sqrt(scale + 1.0) * exp(-evidence))
    towards = z if plan.side == "above" else -z
    if towards <= 0.0 or evidence <= 0.0:
        return 1.0
    return min(1.0, sqrt(scale + 1.0) / 2.0 / max(exp(evidence) - 1.0, 1e-300))


def mixture_sprt_interval(effect: Difference, alpha: float, effect_scale: float) -> tuple[float, float]:
    """Return the mixture SPRT interval (Johari et al. 2015, arXiv 1512.04922; critical value as Statsig's).

    Args:
        effect: Absolute or relative difference.
        alpha: False-alarm probability over all looks; halved inside, which makes it conservative.
        effect_scale: Standard deviation of effects that one expects to see, in the effect's unit.
    """
    variance, prior = effect.standard_error**2, effect_scale**2
    if variance <= 0.0:
        return -inf, inf
    total = variance + prior
    critical = sqrt(total / prior * (-2.0 * log(alpha / 2.0) - log(variance / total)))
    half = critical * effect.standard_error
    return effect.value - half, effect.value + half
