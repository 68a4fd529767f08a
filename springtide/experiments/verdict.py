"""One status word per experiment, with its reason and what may be done."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from enum import StrEnum

from springtide.experiments.sequential import Sequence


class Status(StrEnum):
    """Status words, in the order in which they are decided."""

    ROLLED_BACK = "rolled back"
    SHIPPED = "shipped"
    NO_DATA = "no data"
    UNHEALTHY = "unhealthy (SRM)"
    GUARDRAIL_FAILING = "guardrail failing"
    WAITING_FOR_LABELS = "waiting for labels"
    COLLECTING = "collecting"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One look at a metric that must not get worse."""

    name: str
    sequence: Sequence
    """One-sided sequence of the relative change in the harmful direction's sign: below 0 is harm."""
    tolerance: float = 0.0
    """Relative harm that is acceptable, >= 0."""
    matured: bool = True
    """Whether it reads closed windows only; an immature guardrail never fails."""

    @property
    def failing(self) -> bool:
        """Whether harm beyond the tolerance is certain at the plan's alpha."""
        return self.matured and self.sequence.high < -self.tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything a verdict depends on."""

    users_exposed: int
    users_final: int
    """Users whose windows have closed; the goal's sequence reads only them."""
    users_expected: int
    """Users at which the plan expects to decide."""
    least_users: int = 100
    """Final users below which no effect is shown."""
    sample_ratio_mismatch: bool = False
    guardrails: SequenceOf[Guardrail] = ()
    goal: Sequence | None = None
    rolled_back: bool = False
    shipped: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status with its reason."""

    status: Status
    reason: str

    @property
    def shows_effect(self) -> bool:
        """Whether the effect may be shown at all: a broken split makes every effect meaningless."""
        return self.status not in (Status.NO_DATA, Status.UNHEALTHY, Status.WAITING_FOR_LABELS)

    @property
    def calls_for_rollback(self) -> bool:
        """Whether the ramp should go back by itself; never on open windows."""
        return self.status is Status.GUARDRAIL_FAILING

    @property
    def may_advance(self) -> bool:
        """Whether the ramp may go up."""
        return self.status in (Status.COLLECTING, Status.WAITING_FOR_LABELS, Status.READY)


def decide(evidence: Evidence) -> Verdict:
    """Return the verdict; health comes before harm, harm before maturity, maturity before effect."""
    if evidence.rolled_back:
        return Verdict(Status.ROLLED_BACK, "a guardrail failed or someone rolled it back")
    if evidence.shipped:
        return Verdict(Status.SHIPPED, "the winning arm serves everyone")
    if evidence.users_exposed == 0:
        return Verdict(Status.NO_DATA, "no user has been exposed")
    if evidence.sample_ratio_mismatch:
        return Verdict(Status.UNHEALTHY, "users are not split as planned, so no effect can be trusted")
    failing = [guardrail.name for guardrail in evidence.guardrails if guardrail.failing]
    if failing:
        return Verdict(Status.GUARDRAIL_FAILING, f"certain harm on {', '.join(failing)}")
    return _progress(evidence)


def _progress(evidence: Evidence) -> Verdict:
    final, exposed = evidence.users_final, evidence.users_exposed
    if final < evidence.least_users <= exposed:
        reason = f"{final} of {exposed} users have closed windows, {evidence.least_users} needed"
        return Verdict(Status.WAITING_FOR_LABELS, reason)
    if evidence.goal is not None and final >= evidence.least_users:
        if evidence.goal.excludes_zero:
            return Verdict(Status.READY, f"the effect is certain at {final} users")
        if final >= evidence.users_expected:
            return Verdict(Status.READY, f"no effect found by the planned {evidence.users_expected} users")
    return Verdict(Status.COLLECTING, f"{final} of {evidence.users_expected} planned users are final")
