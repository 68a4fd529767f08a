"""A slate's life as a list of rows with the ages at which they are due; it follows from the label policy."""

from dataclasses import dataclass

from springtide.contracts.samples import Phase
from springtide.runtime.settings import milliseconds
from streaming.config import JoinerConfig
from streaming.joiner.state import Slate
from streaming.joiner.windows import Windows


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of every slate."""

    age_ms: int
    phase: Phase | None
    """None: nothing is said."""
    with_features: bool
    keeps_features: bool
    """False: nothing after this row needs features."""


class Plan:
    """The stages in order of age; the last one closes the slate."""

    def __init__(self, windows: Windows, config: JoinerConfig) -> None:
        self._windows = windows
        self.closing_ms = windows.final_age_ms
        """Age at which a slate's labels are closed; a later click takes no credit either."""
        self.memory_ms = windows.final_age_ms + milliseconds(config.remember)
        """Age at which a slate may be forgotten; an event of that age is of no use."""
        self.orphan_wait_ms = milliseconds(config.orphan_wait)
        self.corrects = windows.policy != "close"
        """Labels that come after the observed row are told."""
        self.correct_with_features = self.corrects and config.features_until == "final"
        self.stages = self._stages()
        phases = [stage.phase for stage in self.stages]
        self.observed_stage = phases.index("observed") + 1 if self.corrects else len(phases)
        """How many rows are out once the observed row is."""

    def _stages(self) -> list[Stage]:
        rows: list[tuple[int, Phase | None]] = [(age, "aged") for age in self._windows.ages_ms]
        if self.corrects:
            rows.append((self._windows.observed_age_ms, "observed"))
        rows.sort(key=lambda row: row[0])
        rows.append((self._windows.final_age_ms, None if self._windows.policy == "fast" else "final"))
        carries = [
            not self.corrects
            or (phase == "final" and self._windows.final_features)
            or (phase in ("aged", "observed") and (self.correct_with_features or age <= self._windows.observed_age_ms))
            for age, phase in rows
        ]
        last = len(rows) - 1
        return [
            Stage(
                age_ms=age_ms,
                phase=phase,
                with_features=carries[number],
                keeps_features=number < last and (self.correct_with_features or any(carries[number + 1 :])),
            )
            for number, (age_ms, phase) in enumerate(rows)
        ]

    def row_due_ms(self, slate: Slate) -> int:
        """When the next row of a complete, open slate is due."""
        return (slate.impression_ms or 0) + self.stages[slate.stage].age_ms

    def expires_ms(self, first_ms: int) -> int:
        """When an event gives up waiting for its slate, a slate for its impression, or a refund for its purchase."""
        return first_ms + self.orphan_wait_ms

    def forget_ms(self, slate: Slate) -> int:
        """When a closed slate is forgotten: a purchase may be refunded for longer."""
        age_ms = self.memory_ms
        if slate.labels and any([fact.task == "purchase" for fact in slate.labels]):
            age_ms = max(age_ms, self._windows.refund_ms)
        return (slate.impression_ms or 0) + age_ms
