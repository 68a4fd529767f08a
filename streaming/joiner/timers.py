"""What falls due when, in event time.

Never the truth: rebuilt from the state after a restart, and what is taken is checked against the state.
"""

import heapq
from collections.abc import Iterator


class Timers:
    """Subjects by due time, in buckets; only the bucket that the watermark has reached is kept in order.

    Adding costs the same however many wait. A subject is due once the watermark is beyond its time, for then all
    events up to it have come.
    """

    def __init__(self, bucket_ms: int) -> None:
        self._bucket_ms = bucket_ms
        self._buckets: dict[int, list[tuple[int, str]]] = {}
        self._numbers: list[int] = []
        """A heap: the buckets that are there."""
        self._reached: list[tuple[int, str]] = []
        """A heap: what the watermark's own bucket, and those before it, still hold."""

    def __len__(self) -> int:
        return len(self._reached) + sum(len(bucket) for bucket in self._buckets.values())

    def add(self, due_ms: int, subject: str) -> None:
        """Add one; adding it again does no harm."""
        number = due_ms // self._bucket_ms
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = [(due_ms, subject)]
            heapq.heappush(self._numbers, number)
        else:
            bucket.append((due_ms, subject))

    def take_due(self, watermark_ms: int) -> Iterator[tuple[int, str]]:
        """Take what is due, in order of time; what is added meanwhile waits for the next call."""
        if self._numbers and self._numbers[0] * self._bucket_ms < watermark_ms:
            while self._numbers and self._numbers[0] * self._bucket_ms < watermark_ms:
                self._reached += self._buckets.pop(heapq.heappop(self._numbers))
            heapq.heapify(self._reached)
        while self._reached and self._reached[0][0] < watermark_ms:
            yield heapq.heappop(self._reached)
