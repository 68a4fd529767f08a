"""What falls due when, in event time.

The heap is never the truth: it is rebuilt from the state, and each entry is checked against it when it falls due.
"""

import heapq
from enum import IntEnum
from typing import NamedTuple


class Due(IntEnum):
    """What falls due; at one moment in this order."""

    CREDIT = 0
    OBSERVED = 1
    CORRECTED = 2
    FINAL = 3
    EXPIRE = 4
    FORGET = 5


class Timer(NamedTuple):
    """One entry; it fires once the watermark is beyond `due_ms`, for then all events up to it have come."""

    due_ms: int
    kind: Due
    subject: str
    """Request id, or event id for CREDIT."""
    detail: str = ""
    """`task:item` for CORRECTED."""


class Timers:
    """A heap of timers."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, timer: Timer) -> None:
        """Add one; adding it again does no harm."""
        heapq.heappush(self._heap, timer)

    def pop_due(self, watermark_ms: int) -> Timer | None:
        """Take the earliest that is due, None when none is."""
        if self._heap and self._heap[0].due_ms < watermark_ms:
            return heapq.heappop(self._heap)
        return None
