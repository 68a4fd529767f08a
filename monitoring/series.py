"""Points of every chart, bounded, with a sequence number so that a page that was away gets only what it missed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Series:
    """One line: event times in ms and values, in order of arrival."""

    times_ms: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)

    def append(self, sequence: int, time_ms: int, value: float, max_points: int) -> None:
        """Add a point; beyond `max_points` every second point of the older half goes."""
        self.times_ms.append(time_ms)
        self.values.append(value)
        self.sequences.append(sequence)
        if len(self.values) > max_points:
            half = len(self.values) // 2
            self.times_ms[:half] = self.times_ms[:half:2]
            self.values[:half] = self.values[:half:2]
            self.sequences[:half] = self.sequences[:half:2]

    def since(self, sequence: int) -> tuple[list[int], list[float]]:
        """Give the points after `sequence`."""
        first = len(self.sequences)
        while first and self.sequences[first - 1] > sequence:
            first -= 1
        return self.times_ms[first:], self.values[first:]


class SeriesStore:
    """Every chart's lines by name."""

    def __init__(self, max_points: int) -> None:
        self._max_points = max_points
        self._series: dict[str, Series] = {}
        self.sequence = 0

    def add(self, time_ms: int, values: Mapping[str, float | None]) -> None:
        """Add one point to each named line; None and NaN add nothing."""
        self.sequence += 1
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                line = self._series.setdefault(name, Series())
                line.append(self.sequence, time_ms, float(value), self._max_points)

    def since(self, sequence: int) -> dict[str, tuple[list[int], list[float]]]:
        """Give what is newer than `sequence`, by line; 0 gives everything."""
        found = {name: line.since(sequence) for name, line in self._series.items()}
        return {name: points for name, points in found.items() if points[0]}
