"""Raw id -> embedding row while training: admission by count, expiry by event time, re-use of rows, a journal.

Everything depends on the order of the calls and their event times alone, never on the wall clock or on hashing.
"""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.errors import StateError
from springtide.model.id_blob import pack_ids, unpack_ids
from springtide.model.id_map import FALLBACK_ROW, IdMap, Journal, Rows, lookup_rows

PENDING_PER_ROW: Final = 4
"""Not yet admitted ids remembered, as a multiple of the capacity; past it, the longest unseen half is forgotten."""

Times = NDArray[np.int64]


class IdTable:
    """The rows of one embedding table.

    Args:
        capacity: rows, the fallback row 0 among them.
        admission_count: observations before an id gets a row.
        expiry_ms: event time without an observation after which `expire` takes an id's row.
    """

    def __init__(self, *, capacity: int, admission_count: int, expiry_ms: int) -> None:
        self.capacity = capacity
        self.admission_count = admission_count
        self.expiry_ms = expiry_ms
        self._row_of: dict[str, int] = {}
        self._id_of: dict[int, str] = {}
        self._counts = np.zeros(capacity, np.int64)
        self._last_seen = np.zeros(capacity, np.int64)
        self._pending: dict[str, tuple[int, int]] = {}  # id -> (count, last seen)
        self._free = list(range(1, capacity))  # a heap: the smallest free row is used first
        self._admitted: dict[str, int] = {}
        self._evicted: dict[str, int] = {}
        self._to_reset: set[int] = set()

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def pending(self) -> int:
        """Number of ids seen but not admitted."""
        return len(self._pending)

    def lookup(self, ids: Sequence[str]) -> Rows:
        """Return the row of each id as int64 (N,), the fallback row for the unknown; changes nothing."""
        return lookup_rows(self._row_of, ids)

    def observe(self, ids: Sequence[str], event_time_ms: int | Times) -> Rows:
        """Count N observations, admit what has enough, and return each id's row after that, int64 (N,).

        Args:
            ids: raw ids; the empty string means none and always has the fallback row.
            event_time_ms: one for all, or one per id.
        """
        rows = self.lookup(ids)
        times = np.broadcast_to(np.asarray(event_time_ms, np.int64), rows.shape)
        known = rows != FALLBACK_ROW
        np.add.at(self._counts, rows[known], 1)
        np.maximum.at(self._last_seen, rows[known], times[known])
        unknown = np.flatnonzero(~known).tolist()
        if not unknown:
            return rows
        admitted = [self._observe_unknown(ids[index], int(times[index])) for index in unknown]
        self._forget_pending()
        return self.lookup(ids) if any(admitted) else rows

    def expire(self, now_ms: int) -> int:
        """Take the row of each id last seen before `now_ms - expiry_ms`; returns how many lost theirs."""
        horizon = now_ms - self.expiry_ms
        old = sorted(row for row in self._id_of if self._last_seen[row] < horizon)
        for row in old:
            self._evict(row)
        self._pending = {raw_id: seen for raw_id, seen in self._pending.items() if seen[1] >= horizon}
        return len(old)

    def rows_to_reset(self) -> Rows:
        """Return, once, the rows given to an id since the last call: vector and optimizer state must start clean."""
        rows = np.array(sorted(self._to_reset), np.int64)
        self._to_reset.clear()
        return rows

    def take_journal(self) -> Journal:
        """Return, once, what was admitted and evicted since the last call."""
        journal = Journal(admitted=self._admitted, evicted=self._evicted)
        self._admitted, self._evicted = {}, {}
        return journal

    def id_map(self) -> IdMap:
        """Return the admitted ids as serving needs them."""
        return IdMap(dict(self._row_of))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as plain arrays; ids waiting for admission have row -1."""
        rows = sorted(self._id_of)
        waiting = sorted(self._pending)
        blob, offsets = pack_ids([self._id_of[row] for row in rows] + waiting)
        seen = [self._pending[raw_id] for raw_id in waiting]
        return {
            "ids": blob,
            "offsets": offsets,
            "rows": np.array(rows + [-1] * len(waiting), np.int64),
            "counts": np.concatenate([self._counts[rows], np.array([count for count, _ in seen], np.int64)]),
            "last_seen": np.concatenate([self._last_seen[rows], np.array([last for _, last in seen], np.int64)]),
            "to_reset": np.array(sorted(self._to_reset), np.int64),
            **Journal(admitted=self._admitted, evicted=self._evicted).to_arrays(),
        }

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what `to_arrays` wrote.

        Raises:
            StateError: a row lies outside this table's capacity.
        """
        rows = arrays["rows"].tolist()
        if rows and max(rows) >= self.capacity:
            raise StateError(f"id table: expected rows below {self.capacity}, got {max(rows)}; keep model.capacities")
        self._row_of, self._id_of, self._pending = {}, {}, {}
        self._counts[:], self._last_seen[:] = 0, 0
        columns = (
            unpack_ids(arrays["ids"], arrays["offsets"]),
            rows,
            arrays["counts"].tolist(),
            arrays["last_seen"].tolist(),
        )
        for raw_id, row, count, last_seen in zip(*columns, strict=True):
            if row < 0:
                self._pending[raw_id] = (count, last_seen)
            else:
                self._row_of[raw_id], self._id_of[row] = row, raw_id
                self._counts[row], self._last_seen[row] = count, last_seen
        self._free = [row for row in range(1, self.capacity) if row not in self._id_of]
        self._to_reset = set(arrays["to_reset"].tolist())
        journal = Journal.from_arrays(arrays)
        self._admitted, self._evicted = journal.admitted, journal.evicted

    def _observe_unknown(self, raw_id: str, time_ms: int) -> bool:
        if not raw_id:
            return False
        row = self._row_of.get(raw_id)
        if row is not None:  # admitted earlier in the same call
            self._counts[row] += 1
            self._last_seen[row] = max(int(self._last_seen[row]), time_ms)
            return False
        count, last_seen = self._pending.get(raw_id, (0, time_ms))
        count, last_seen = count + 1, max(last_seen, time_ms)
        if count < self.admission_count:
            self._pending[raw_id] = (count, last_seen)
            return False
        self._pending.pop(raw_id, None)
        self._admit(raw_id, count, last_seen)
        return True

    def _admit(self, raw_id: str, count: int, last_seen: int) -> None:
        if not self._free:
            self._evict(self._victim())
        row = heapq.heappop(self._free)
        self._row_of[raw_id], self._id_of[row] = row, raw_id
        self._counts[row], self._last_seen[row] = count, last_seen
        self._admitted[raw_id] = row
        self._to_reset.add(row)

    def _victim(self) -> int:
        """Return the row longest unseen; of equals the least counted, then the smallest."""
        last_seen = self._last_seen[1:]
        oldest = np.flatnonzero(last_seen == last_seen.min()) + 1
        return int(oldest[np.argmin(self._counts[oldest])])

    def _evict(self, row: int) -> None:
        raw_id = self._id_of.pop(row)
        del self._row_of[raw_id]
        if self._admitted.pop(raw_id, None) is None:  # admitted and evicted between two journals leaves no trace
            self._evicted[raw_id] = row
        self._to_reset.discard(row)
        self._counts[row], self._last_seen[row] = 0, 0
        heapq.heappush(self._free, row)

    def _forget_pending(self) -> None:
        if len(self._pending) > PENDING_PER_ROW * self.capacity:
            by_age = sorted(self._pending, key=lambda raw_id: (self._pending[raw_id][1], raw_id))
            for raw_id in by_age[: len(by_age) // 2]:
                del self._pending[raw_id]
