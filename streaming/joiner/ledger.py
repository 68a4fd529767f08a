"""The joiner's books: what came in is what is open, done or counted away."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from springtide.contracts.tasks import TASKS, Task

OUTCOMES: Final = ("matched", "duplicate", "late", "orphan_expired")
"""What becomes of a label or a refund."""


@dataclass(slots=True)
class Ledger:
    """Counters since the start of this process; what was found at the start counts as come in.

    slates_in = open + final + dropped; impressions_in = open + final; per task and for refunds
    in = matched + duplicate + late + orphan_expired + waiting.
    """

    events: Counter[str] = field(default_factory=Counter)
    """Per event type: every decodable record that was not a replay."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """Per event type."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """Per reason."""
    slates: Counter[str] = field(default_factory=Counter)
    """in, final, dropped."""
    impressions: Counter[str] = field(default_factory=Counter)
    """Shown items: in, final."""
    labels: Counter[tuple[Task, str]] = field(default_factory=Counter)
    """Per task and outcome: in, matched, duplicate, late, orphan_expired."""
    refunds: Counter[str] = field(default_factory=Counter)
    """in, and outcomes as for labels."""
    rows: Counter[str] = field(default_factory=Counter)
    """Per phase."""
    sampled_out: Counter[str] = field(default_factory=Counter)
    """Per phase: items without a label that `labels.negative_keep` left out."""
    replayed: int = 0
    """Records at or below the applied offset, skipped."""

    def slate_residual(self, open_slates: int) -> int:
        """Slates that are unaccounted for, given how many are open; 0 when the books balance."""
        return self.slates["in"] - open_slates - self.slates["final"] - self.slates["dropped"]

    def impression_residual(self, open_impressions: int) -> int:
        """Shown items that are unaccounted for; 0 when the books balance."""
        return self.impressions["in"] - open_impressions - self.impressions["final"]

    def label_residual(self, waiting: Counter[Task]) -> dict[Task, int]:
        """Labels per task that are unaccounted for, given how many wait; all 0 when the books balance."""
        count = self.labels.get  # a Counter is slow about what it has not seen
        return {
            task: count((task, "in"), 0) - waiting[task] - sum(count((task, outcome), 0) for outcome in OUTCOMES)
            for task in TASKS
        }

    def refund_residual(self, waiting: int) -> int:
        """Refunds that are unaccounted for; 0 when the books balance."""
        return self.refunds["in"] - waiting - sum(self.refunds[outcome] for outcome in OUTCOMES)
