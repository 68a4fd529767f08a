"""The label windows as whole milliseconds, and how mature a task's labels are at an age."""

from dataclasses import dataclass
from typing import Self

from springtide.contracts.samples import Maturity
from springtide.contracts.tasks import TASKS, Task
from springtide.runtime.config import LabelsConfig
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
        )

    def maturity(self, task: Task, age_ms: int) -> Maturity:
        """Say how complete a task's labels are at an age."""
        if age_ms >= self.attribution_ms[task]:
            return "closed"
        return "observed" if age_ms >= self.observation_ms[task] else "open"

    def counts(self, task: Task, delay_ms: int, age_ms: int) -> bool:
        """Say whether a label with this delay belongs into a row of this age."""
        return delay_ms <= min(age_ms, self.attribution_ms[task])
