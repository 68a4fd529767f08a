"""What a rank knows of its partitions as it reads on: rows new and repeated, days, delays, held scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from springtide.contracts.samples import Phase, Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import DAY_MS
from trainer.closed_slates import ClosedSlates
from trainer.days import day_of
from trainer.held_scores import HeldScores, Judged
from trainer.sample_index import Kind, SampleIndex
from trainer.sample_source import SampleSource, Taken
from trainer.seen_rows import SeenRows


@dataclass(kw_only=True, slots=True)
class Intake:
    """What one reading brought."""

    fast: list[Sample] = field(default_factory=list)
    """Rows that the minute chain learns."""
    judged: list[Judged] = field(default_factory=list)
    """Held scores that met their final labels."""
    delays_ms: dict[str, list[int]] = field(default_factory=lambda: {task: [] for task in TASKS})
    """Of the labels of final rows."""
    slates: dict[str, int] = field(default_factory=dict)
    """New messages per phase."""

    def add(self, other: "Intake") -> None:
        """Take up what a later reading brought."""
        self.fast.extend(other.fast)
        self.judged.extend(other.judged)
        for task, delays in other.delays_ms.items():
            self.delays_ms[task].extend(delays)
        for phase, count in other.slates.items():
            self.slates[phase] = self.slates.get(phase, 0) + count


LEARNED = ("observed", "corrected", "final")
"""The phases that this trainer knows what to do with; rows of others are counted and passed over."""


class LiveFeed:
    """A rank's partitions, from its offsets on.

    Args:
        source: of the partitions.
        keep_ms: event time for which rows are told apart and scores held.
        phases: of the rows that the minute chain learns.
        slates_per_hour: how many slates of each hour are kept whole for the guard.
    """

    def __init__(
        self,
        source: SampleSource,
        keep_ms: int,
        phases: Sequence[Phase] = ("observed", "corrected"),
        slates_per_hour: int = 0,
    ) -> None:
        self.source, self.phases = source, phases
        self.index = SampleIndex()
        self.seen = {partition: SeenRows(keep_ms) for partition in source.offsets}
        self.held = HeldScores(keep_ms)
        self.slates = ClosedSlates(slates_per_hour, keep_ms + 2 * DAY_MS)
        self.newest_final_ms: dict[int, int] = {}
        """Impression time of the newest final row per partition."""
        self.first_open_day = 0
        """Days before it are learned."""
        self.begun_day = -1
        """Rows of this day and of those before come too late: they are being read."""
        self.late = 0
        """Final slates of days that were learned already."""
        self.newest_fast_ms: dict[int, int] = {}
        """Impression time of the newest observed row per partition."""

    def read(self, most: int, wait_ms: int) -> Intake:
        """Take what is there."""
        intake = Intake()
        for taken in self.source.take(most, wait_ms):
            self._sort(taken, intake)
        return intake

    @property
    def repeated(self) -> int:
        """Rows refused because they had been seen."""
        return sum(rows.repeated for rows in self.seen.values())

    def close_days_before(self, day: int) -> None:
        """Let go of where the days before lie: they are learned."""
        self.first_open_day = day
        self.index.forget_before(day)

    def spans_after(self, day: int) -> dict[int, tuple[int, int]]:
        """Return per partition offsets [first, end) that hold every row of later days that the minute chain learns."""
        kinds: list[Kind] = ["final"] if "final" in self.phases else []
        if set(self.phases) - {"final"}:
            kinds.append("fast")
        spans = {}
        for partition in self.source.offsets:
            found = [span for kind in kinds if (span := self.index.span(partition, kind, day + 1)) is not None]
            if found:
                spans[partition] = (min(span[0] for span in found), max(span[1] for span in found))
        return spans

    def _sort(self, taken: Taken, intake: Intake) -> None:
        sample = taken.sample
        if not self.seen[taken.partition].add(sample.row_id, sample.impression_time_ms):
            return
        intake.slates[sample.phase] = intake.slates.get(sample.phase, 0) + 1
        if sample.phase not in LEARNED:
            return
        final = sample.phase == "final"
        self.index.note(taken.partition, taken.offset, "final" if final else "fast", day_of(sample.impression_time_ms))
        newest = self.newest_final_ms if final else self.newest_fast_ms
        newest[taken.partition] = max(newest.get(taken.partition, 0), sample.impression_time_ms)
        if sample.phase in self.phases:
            intake.fast.append(sample)
        if sample.phase == "observed":
            self.slates.note(sample)
        if not final:
            return
        self.slates.close(sample)
        day = day_of(sample.impression_time_ms)
        self.late += day < self.first_open_day or day <= self.begun_day
        intake.judged.extend(self.held.judge(sample))
        for task, delays in sample.delays_ms.items():
            intake.delays_ms[task].extend(delay for delay in delays if delay >= 0)
