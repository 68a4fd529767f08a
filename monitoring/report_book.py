"""What the processes reported last, and how fast their counters move."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from springtide.contracts.reports import ProcessReport

_LABEL = re.compile(r'(\w+)="([^"]*)"')


def split_name(name: str) -> tuple[str, dict[str, str]]:
    """Split `name{label="value"}` into name and labels."""
    head, brace, tail = name.partition("{")
    return (head, dict(_LABEL.findall(tail))) if brace else (head, {})


@dataclass(slots=True)
class _Process:
    newest: ProcessReport
    history: deque[ProcessReport] = field(default_factory=lambda: deque(maxlen=60))


class ReportBook:
    """The newest reports by instance."""

    def __init__(self) -> None:
        self._processes: dict[str, _Process] = {}

    def add(self, report: ProcessReport) -> None:
        """Take a report."""
        entry = self._processes.setdefault(report.instance, _Process(report))
        if report.sequence < entry.newest.sequence:
            entry.history.clear()  # the process was started again, its counters began at 0
        entry.newest = report
        entry.history.append(report)

    def instances(self) -> Iterator[ProcessReport]:
        """Yield each instance's newest report."""
        for name in sorted(self._processes):
            yield self._processes[name].newest

    def values(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """List (labels, value) of a metric over all processes, where the given labels agree."""
        found = []
        for process in self._processes.values():
            for key, value in process.newest.samples.items():
                if not key.startswith(name):
                    continue
                head, has = split_name(key)
                if head == name and labels.items() <= has.items():
                    found.append((has, value))
        return found

    def total(self, name: str, **labels: str) -> float:
        """Sum a metric over all processes and all other labels."""
        return sum(value for _, value in self.values(name, **labels))

    def highest(self, name: str, **labels: str) -> float | None:
        """Give the largest value, or None."""
        return max((value for _, value in self.values(name, **labels)), default=None)

    def lowest(self, name: str, **labels: str) -> float | None:
        """Give the smallest value, or None."""
        return min((value for _, value in self.values(name, **labels)), default=None)

    def rate(self, name: str, seconds: float = 10.0, **labels: str) -> float:
        """Give a counter's increase per second of wall time over about the last `seconds`."""
        return sum(self._rate(process, name, seconds, labels) for process in self._processes.values())

    def _rate(self, process: _Process, name: str, seconds: float, labels: dict[str, str]) -> float:
        newest = process.newest
        oldest = next(
            (one for one in process.history if newest.wall_time_ms - one.wall_time_ms <= seconds * 1000), newest
        )
        elapsed = (newest.wall_time_ms - oldest.wall_time_ms) / 1000
        if elapsed <= 0:
            return 0.0
        return max(0.0, _sum(newest, name, labels) - _sum(oldest, name, labels)) / elapsed

    def quantiles(self, name: str, shares: tuple[float, ...], **labels: str) -> list[float | None]:
        """Give quantiles of a histogram over the reports kept (about a minute), linear inside a bucket."""
        buckets: dict[float, float] = {}
        for process in self._processes.values():
            for key, value in process.newest.samples.items():
                head, has = split_name(key)
                if head == name + "_bucket" and labels.items() <= has.items():
                    before = process.history[0].samples.get(key, 0.0) if len(process.history) > 1 else 0.0
                    edge = float(has["le"])
                    buckets[edge] = buckets.get(edge, 0.0) + value - before
        return [_quantile(sorted(buckets.items()), share) for share in shares]


def _sum(report: ProcessReport, name: str, labels: dict[str, str]) -> float:
    total = 0.0
    for key, value in report.samples.items():
        if key.startswith(name):
            head, has = split_name(key)
            if head == name and labels.items() <= has.items():
                total += value
    return total


def _quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    if not buckets or buckets[-1][1] <= 0:
        return None
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for edge, count in buckets:
        if count >= wanted:
            if edge == float("inf"):
                return low
            return low + (edge - low) * ((wanted - below) / (count - below) if count > below else 1.0)
        low, below = edge, count
    return low
