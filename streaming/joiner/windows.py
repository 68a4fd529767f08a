"""The label windows as whole milliseconds, how mature a task's labels are at an age, and which items rows keep."""

import hashlib
from dataclasses import dataclass
from typing import Self

from springtide.contracts.samples import Maturity
from springtide.contracts.tasks import TASKS, Task
from springtide.runtime.config import LabelPolicy, LabelsConfig
from springtide.runtime.settings import milliseconds


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows after the impression; a label at exactly the window's age counts."""

    observation_ms: dict[Task, int]
    attribution_ms: dict[Task, int]
    observed_age_ms: int
    """Age at which the observed row is due."""
    final_age_ms: int
    """Age at which the final row is due."""
    lateness_ms: int
    max_advance_ms: int
    policy: LabelPolicy
    ages_ms: tuple[int, ...]
    """Ages of further rows."""
    final_features: bool
    """Final rows carry features."""
    refund_ms: int
    """A refund up to this age takes its purchase back."""
    negative_keep: float
    """Share of the items without a label that rows keep."""

    @classmethod
    def of(cls, labels: LabelsConfig) -> Self:
        """Take them from the settings."""
        return cls(
            observation_ms={task: milliseconds(labels.observation[task]) for task in TASKS},
            attribution_ms={task: milliseconds(labels.attribution[task]) for task in TASKS},
            observed_age_ms=milliseconds(labels.observed_age),
            final_age_ms=milliseconds(labels.final_age),
            lateness_ms=milliseconds(labels.allowed_lateness),
            max_advance_ms=milliseconds(labels.max_advance),
            policy=labels.policy,
            ages_ms=tuple(milliseconds(age) for age in labels.ages),
            final_features=labels.final_features,
            refund_ms=milliseconds(labels.refund),
            negative_keep=labels.negative_keep,
        )

    def maturity(self, task: Task, age_ms: int) -> Maturity:
        """Say how complete a task's labels are at an age."""
        if age_ms >= self.attribution_ms[task]:
            return "closed"
        return "observed" if age_ms >= self.observation_ms[task] else "open"

    def counts(self, task: Task, delay_ms: int, age_ms: int) -> bool:
        """Say whether a label with this delay belongs into a row of this age."""
        return delay_ms <= min(age_ms, self.attribution_ms[task])

    def keeps_negative(self, request_id: str, item_id: str) -> bool:
        """Say whether rows keep this item though it has no label: the same answer in every row and every replay."""
        digest = hashlib.blake2b(f"{request_id}:{item_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self.negative_keep * 2**64
