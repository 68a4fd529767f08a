"""Disturbs the order in which a log is told: events twice, and bursts in which events come late. Pure.

Each draw is a hash of the seed and the event, so a resumed replay disturbs as the first one did. No event is held
back longer than `replay.hold`, which is less than the allowed lateness: what the log says stays true, row by row.
"""

import heapq
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from simulator.randomness import Bools, Draw, Floats, Ints, uniform
from simulator.replay.config import ReplayConfig
from springtide.contracts.events import AnyEvent
from springtide.runtime.settings import milliseconds


class ReplayFaults:
    """Holds events back and repeats them, in event time."""

    def __init__(self, config: ReplayConfig) -> None:
        self._config = config
        self._hold_ms, self._burst_ms = milliseconds(config.hold), milliseconds(config.burst)
        self._pending: list[tuple[int, int, AnyEvent]] = []
        self._number = 0
        self.counts: Counter[str] = Counter()

    @property
    def active(self) -> bool:
        """Say whether anything is disturbed."""
        return self._config.duplicates > 0 or self._config.out_of_order > 0

    def take(self, events: Sequence[AnyEvent], until_ms: int) -> list[AnyEvent]:
        """Take in a step's events, in order of time, and give what is told before `until_ms`, in order of telling."""
        if not self.active:
            return list(events)
        if events:
            self._disturb(events)
        told = []
        while self._pending and self._pending[0][0] < until_ms:
            told.append(heapq.heappop(self._pending)[2])
        return told

    def _disturb(self, events: Sequence[AnyEvent]) -> None:
        keys = np.array([zlib.crc32(event.event_id.encode()) for event in events], dtype=np.int64)
        times = np.array([event.event_time_ms for event in events], dtype=np.int64)
        held = np.where(self._in_burst(times), self._luck(Draw.HOLD, keys) * self._hold_ms, 0.0)
        lag = np.maximum(held, self._luck(Draw.DUPLICATE_LAG, keys) * self._hold_ms)
        twice = self._luck(Draw.DUPLICATE, keys) < self._config.duplicates
        for event, wait, again, later in zip(events, held.tolist(), twice.tolist(), lag.tolist(), strict=True):
            self._tell(event, int(wait))
            self.counts["held"] += wait > 0
            if again:
                self._tell(event, int(later))
                self.counts["duplicates"] += 1

    def _in_burst(self, times_ms_N: Ints) -> Bools:
        """Say of each time whether it lies in a burst: event time is cut into pieces, and some of them are bursts."""
        return self._luck(Draw.OUT_OF_ORDER, times_ms_N // self._burst_ms) < self._config.out_of_order

    def _luck(self, kind: Draw, keys: Ints) -> Floats:
        return uniform(self._config.fault_seed, kind, keys)

    def _tell(self, event: AnyEvent, wait_ms: int) -> None:
        heapq.heappush(self._pending, (event.event_time_ms + wait_ms, self._number, event))
        self._number += 1
