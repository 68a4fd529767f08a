"""What falls due when, in event time.

Never the truth: rebuilt from the state after a restart, and what is taken is checked against the state.
"""

import heapq
from array import array
from collections.abc import Iterator


class _Bucket:
    """Subjects of about one time, as two columns: a pair of objects for each would weigh six times as much."""

    __slots__ = ("due_ms", "subjects")

    def __init__(self) -> None:
        self.due_ms = array("q")
        self.subjects: list[str] = []


class Timers:
    """Subjects by due time, in buckets; only the bucket that the watermark has reached is kept in order.

    Adding costs the same however many wait. A subject is due once the watermark is beyond its time, for then all
    events up to it have come.
    """

    def __init__(self, bucket_ms: int) -> None:
        self._bucket_ms = bucket_ms
        self._buckets: dict[int, _Bucket] = {}
        self._numbers: list[int] = []
        """A heap: the buckets that are there."""
        self._reached: list[tuple[int, str]] = []
        """What the watermark's own bucket, and those before it, still hold; the next one to fall due is the last."""

    def __len__(self) -> int:
        return len(self._reached) + sum(len(bucket.subjects) for bucket in self._buckets.values())

    def add(self, due_ms: int, subject: str) -> None:
        """Add one; adding it again does no harm."""
        number = due_ms // self._bucket_ms
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = _Bucket()
            heapq.heappush(self._numbers, number)
        bucket.due_ms.append(due_ms)
        bucket.subjects.append(subject)

    def take_due(self, watermark_ms: int) -> Iterator[tuple[int, str]]:
        """Take what is due, in order of time; what is added meanwhile waits for the next call."""
        if self._numbers and self._numbers[0] * self._bucket_ms < watermark_ms:
            while self._numbers and self._numbers[0] * self._bucket_ms < watermark_ms:
                bucket = self._buckets.pop(heapq.heappop(self._numbers))
                self._reached += zip(bucket.due_ms, bucket.subjects, strict=True)
            self._reached.sort(reverse=True)
        while self._reached and self._reached[-1][0] < watermark_ms:
            yield self._reached.pop()
