"""Where in a partition of `samples` the rows of a day lie, so that they can be read from Kafka again.

Kafka is the only store of rows: the daily chain and the replay after a re-anchor read them once more, from the first
offset that can hold one. So the trainer's memory does not grow with a day's traffic.
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["fast", "final"]
"""fast: observed and corrected rows."""


@dataclass(slots=True)
class SampleIndex:
    """Offsets [first, end) per partition, kind and day."""

    spans: dict[int, dict[str, dict[int, tuple[int, int]]]] = field(default_factory=dict)

    def note(self, partition: int, offset: int, kind: Kind, day: int) -> None:
        """Remember that a row of this kind and day lies at the offset; offsets rise."""
        days = self.spans.setdefault(partition, {}).setdefault(kind, {})
        first, _ = days.get(day, (offset, offset))
        days[day] = (first, offset + 1)

    def span(self, partition: int, kind: Kind, first_day: int, last_day: int | None = None) -> tuple[int, int] | None:
        """Return [first, end) that holds every row of the days, or None without any; no last day: all that follow."""
        days = self.spans.get(partition, {}).get(kind, {})
        found = [span for day, span in days.items() if day >= first_day and (last_day is None or day <= last_day)]
        return (min(span[0] for span in found), max(span[1] for span in found)) if found else None

    def days(self, kind: Kind) -> set[int]:
        """Return the days of which rows are known, over all partitions."""
        return {day for kinds in self.spans.values() for day in kinds.get(kind, {})}

    def forget_before(self, day: int) -> None:
        """Drop the days before `day`."""
        for kinds in self.spans.values():
            for days in kinds.values():
                for old in [number for number in days if number < day]:
                    del days[old]

    def to_dict(self, partition: int) -> dict[str, dict[str, list[int]]]:
        """Return one partition's spans as JSON-able values."""
        return {
            kind: {str(day): list(span) for day, span in days.items()}
            for kind, days in self.spans.get(partition, {}).items()
        }

    def load(self, partition: int, state: dict[str, dict[str, list[int]]]) -> None:
        """Become, for one partition, what `to_dict` wrote."""
        self.spans[partition] = {
            kind: {int(day): (span[0], span[1]) for day, span in days.items()} for kind, days in state.items()
        }
