"""Stepwise enrolment with guardrails: the arms stay equal, only the enrolled share grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from springtide.experiments.verdict import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class RampPlan:
    """The steps of a ramp."""

    steps: tuple[float, ...] = (0.02, 0.1, 0.25, 0.5, 1.0)
    """Enrolled share of users per step, rising, 0 to 1."""

    hold_ms: int = 6 * 3_600_000
    """Least event time in ms on a step."""

    least_new_users: int = 100
    """Users that must be exposed on a step before the next."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if not self.steps or list(self.steps) != sorted(set(self.steps)):
            yield f"ramp.steps: expected rising shares, got {self.steps}; sort them"
        if any(not 0.0 < step <= 1.0 for step in self.steps):
            yield f"ramp.steps: expected shares in (0, 1], got {self.steps}; fix them"
        if self.hold_ms < 0 or self.least_new_users < 0:
            yield "ramp.hold_ms, ramp.least_new_users: expected at least 0, got less; raise them"


@dataclass(frozen=True, slots=True)
class Move:
    """What to do now."""

    action: str
    """advance, hold, roll_back or done."""
    enrolled: float
    reason: str


def next_move(
    plan: RampPlan, verdict: Verdict, *, enrolled: float, since_ms: int, watermark_ms: int, new_users: int
) -> Move:
    """Return the next move, decided on event time alone.

    Args:
        plan: The steps.
        verdict: What the statistics say now.
        enrolled: Share of users enrolled now.
        since_ms: Event time in ms at which this step began.
        watermark_ms: Event time in ms that has certainly passed.
        new_users: Users first exposed on this step.
    """
    if verdict.calls_for_rollback:
        return Move("roll_back", 0.0, verdict.reason)
    if not verdict.may_advance:
        return Move("hold", enrolled, f"{verdict.status}: {verdict.reason}")
    higher = [step for step in plan.steps if step > enrolled]
    if not higher:
        return Move("done", enrolled, "the last step is reached")
    if watermark_ms - since_ms < plan.hold_ms:
        return Move("hold", enrolled, "the step has not lasted long enough")
    if new_users < plan.least_new_users:
        return Move("hold", enrolled, f"{new_users} of {plan.least_new_users} users on this step")
    return Move("advance", higher[0], f"{verdict.status}: {verdict.reason}")
