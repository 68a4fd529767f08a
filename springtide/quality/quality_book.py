"""Task quality by key over a ring of event-time slots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.rows import State, as_rows, check_same_length
from springtide.quality.task_quality import TaskQuality


class QualityKey(NamedTuple):
    """What one line on a chart is about; maturities are never mixed in one figure."""

    task: str
    maturity: str
    """"matured" (closed windows), "corrected" (labels over F) or "estimated" (before any label)."""
    arm: str = ""
    model_version: str = ""
    segment: str = ""


@dataclass(slots=True)
class QualityWindow:
    """The newest `slots` event-time slots of one key."""

    slot_ms: int
    slots: int
    rings: dict[int, TaskQuality] = field(default_factory=dict)
    rows_too_old: int = 0

    @property
    def newest_slot(self) -> int | None:
        """Number of the newest slot with rows, or None."""
        return max(self.rings) if self.rings else None

    def update(
        self,
        probabilities_N: ArrayLike,
        labels_N: ArrayLike,
        event_times_ms_N: ArrayLike,
        weights_N: ArrayLike | None = None,
    ) -> None:
        """Add N rows by impression time; rows older than the ring are left out and counted."""
        p, y, w = as_rows(probabilities_N, labels_N, weights_N)
        slot_N = np.asarray(event_times_ms_N, dtype=np.int64) // self.slot_ms
        check_same_length("event_times_ms_N", slot_N, len(p))
        if not len(p):
            return
        newest = max(int(slot_N.max()), -(2**62) if self.newest_slot is None else self.newest_slot)
        oldest = newest - self.slots + 1
        self.rows_too_old += int((slot_N < oldest).sum())
        for slot in np.unique(slot_N[slot_N >= oldest]).tolist():
            rows = slot_N == slot
            self.rings.setdefault(slot, TaskQuality()).update(p[rows], y[rows], w[rows])
        self.rings = {slot: quality for slot, quality in self.rings.items() if slot >= oldest}

    def over(self, window_ms: int | None = None, until_ms: int | None = None) -> TaskQuality:
        """Return the figures of the slots in (until - window, until]; the whole ring by default."""
        newest = self.newest_slot
        total = TaskQuality()
        if newest is None:
            return total
        last = newest if until_ms is None else (until_ms - 1) // self.slot_ms
        count = self.slots if window_ms is None else max(1, -(-window_ms // self.slot_ms))
        for slot, quality in self.rings.items():
            if last - count < slot <= last:
                total = total.merge(quality)
        return total

    def series(self) -> list[tuple[int, TaskQuality]]:
        """Return (slot start in ms, figures) in event-time order, for a chart."""
        return [(slot * self.slot_ms, self.rings[slot]) for slot in sorted(self.rings)]

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {
            "slot_ms": self.slot_ms,
            "slots": self.slots,
            "rings": {str(slot): quality.to_dict() for slot, quality in self.rings.items()},
            "rows_too_old": self.rows_too_old,
        }

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the window that `to_dict` wrote."""
        rings = {int(slot): TaskQuality.from_dict(quality) for slot, quality in state["rings"].items()}
        return cls(int(state["slot_ms"]), int(state["slots"]), rings, int(state["rows_too_old"]))


@dataclass(slots=True)
class QualityBook:
    """Windows by key. Past `max_keys` the key whose newest rows are oldest goes (old model versions)."""

    slot_ms: int
    slots: int
    max_keys: int = 256
    windows: dict[QualityKey, QualityWindow] = field(default_factory=dict)
    keys_dropped: int = 0

    def update(
        self,
        key: QualityKey,
        probabilities_N: ArrayLike,
        labels_N: ArrayLike,
        event_times_ms_N: ArrayLike,
        weights_N: ArrayLike | None = None,
    ) -> None:
        """Add N rows of one key; see `QualityWindow.update`."""
        window = self.windows.setdefault(key, QualityWindow(self.slot_ms, self.slots))
        window.update(probabilities_N, labels_N, event_times_ms_N, weights_N)
        if len(self.windows) > self.max_keys:
            stalest = min(self.windows, key=lambda each: self.windows[each].newest_slot or -(2**62))
            del self.windows[stalest]
            self.keys_dropped += 1

    def pooled(self, task: str, maturity: str, arm: str | None = None, window_ms: int | None = None) -> TaskQuality:
        """Return the figures over every model version, of one arm or of all, on one common window."""
        chosen = [
            window
            for key, window in self.windows.items()
            if key.task == task and key.maturity == maturity and arm in (None, key.arm)
        ]
        newest = max((w.newest_slot for w in chosen if w.newest_slot is not None), default=None)
        total = TaskQuality()
        for window in chosen if newest is not None else []:
            until_ms = None if newest is None else (newest + 1) * self.slot_ms
            total = total.merge(window.over(window_ms, until_ms))
        return total

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {
            "slot_ms": self.slot_ms,
            "slots": self.slots,
            "max_keys": self.max_keys,
            "windows": [[list(key), window.to_dict()] for key, window in self.windows.items()],
            "keys_dropped": self.keys_dropped,
        }

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the book that `to_dict` wrote."""
        windows = {QualityKey(*key): QualityWindow.from_dict(window) for key, window in state["windows"]}
        slots, keys = int(state["slots"]), int(state["max_keys"])
        return cls(int(state["slot_ms"]), slots, keys, windows, int(state["keys_dropped"]))
