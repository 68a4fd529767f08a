"""Buckets, windows and the moments at which a window's content changes. All times are event time, milliseconds.

Counts are kept per bucket of the flush width; flushes lie on the same grid and divide every window, so a window that
ends at a flush is a whole number of buckets and its counts are exact.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from springtide.contracts.features import BEHAVIOURS, WINDOWS_MS

LONGEST_MS: Final = max(WINDOWS_MS.values())
ZERO: Final = (0,) * len(BEHAVIOURS)


def floor_to(time_ms: int, width_ms: int) -> int:
    """Begin of the bucket that holds a time."""
    return time_ms - time_ms % width_ms


def window_counts(buckets: Mapping[int, Sequence[int]], end_ms: int) -> dict[str, float]:
    """Sum behaviours over each window that ends, exclusive, at `end_ms`.

    Args:
        buckets: begin of the bucket -> counts in the order of BEHAVIOURS.
        end_ms: a flush moment.
    """
    totals = {name: [0] * len(BEHAVIOURS) for name in WINDOWS_MS}
    for begin, counts in buckets.items():
        if begin >= end_ms:
            continue
        for name, width in WINDOWS_MS.items():
            if begin >= end_ms - width:
                sums = totals[name]
                for index, count in enumerate(counts[: len(BEHAVIOURS)]):
                    sums[index] += count
    return {
        f"{behaviour}_{name}": float(totals[name][index])
        for index, behaviour in enumerate(BEHAVIOURS)
        for name in WINDOWS_MS
    }


class Agenda:
    """Which entities need a new row at which flush: where a bucket enters a window or leaves one."""

    def __init__(self, width_ms: int) -> None:
        self._width_ms = width_ms
        self._due: dict[int, set[str]] = {}
        self._moments: list[int] = []

    def add(self, entity_id: str, bucket_ms: int, after_ms: int) -> None:
        """Note a bucket with something in it; flushes up to `after_ms` are past, so what they missed comes next."""
        enters = bucket_ms + self._width_ms
        self.visit(entity_id, max(enters, after_ms + self._width_ms))
        for window_ms in WINDOWS_MS.values():
            leaves = bucket_ms + window_ms + self._width_ms
            if leaves > after_ms:
                self.visit(entity_id, leaves)

    def visit(self, entity_id: str, moment_ms: int) -> None:
        """Note one flush for one entity."""
        due = self._due.get(moment_ms)
        if due is None:
            due = self._due[moment_ms] = set()
            heapq.heappush(self._moments, moment_ms)
        due.add(entity_id)

    def take(self, until_ms: int) -> Iterable[tuple[int, list[str]]]:
        """Take every flush up to `until_ms`, oldest first, each with its entities in a fixed order."""
        while self._moments and self._moments[0] <= until_ms:
            moment = heapq.heappop(self._moments)
            yield moment, sorted(self._due.pop(moment))
