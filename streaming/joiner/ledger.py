"""The joiner's books: what came in is what is open, done or counted away."""

from collections import Counter
from dataclasses import dataclass, field

from springtide.contracts.tasks import TASKS, Task


@dataclass(slots=True)
class Ledger:
    """Counters since the start of this process; what was found at the start counts as come in.

    slates_in = open + final + dropped; per task labels_in = matched + duplicate + late + orphan_expired + waiting.
    """

    events: Counter[str] = field(default_factory=Counter)
    """Per event type: every decodable record that was not a replay."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """Per event type."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """Per reason."""
    slates: Counter[str] = field(default_factory=Counter)
    """in, final, dropped."""
    labels: Counter[tuple[Task, str]] = field(default_factory=Counter)
    """Per task and outcome: in, matched, duplicate, late, orphan_expired."""
    rows: Counter[str] = field(default_factory=Counter)
    """Per phase."""
    replayed: int = 0
    """Records at or below the applied offset, skipped."""

    def slate_residual(self, open_slates: int) -> int:
        """Slates that are unaccounted for, given how many are open; 0 when the books balance."""
        return self.slates["in"] - open_slates - self.slates["final"] - self.slates["dropped"]

    def label_residual(self, waiting: Counter[Task]) -> dict[Task, int]:
        """Labels per task that are unaccounted for, given how many wait; all 0 when the books balance."""
        outcomes = ("matched", "duplicate", "late", "orphan_expired")
        return {
            task: self.labels[task, "in"] - waiting[task] - sum(self.labels[task, outcome] for outcome in outcomes)
            for task in TASKS
        }
