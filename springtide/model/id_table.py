"""Raw id -> embedding row while training: admission by count, expiry by event time, re-use of rows, a journal.

Everything depends on the order of the calls and their event times alone, never on the wall clock or on hashing. A call
is one moment: first all its observations are counted, then what has enough is admitted, all together.

Victims. When rows run out, the most recently seen ids have them: an id that has its count takes the row of the longest
unseen, of equals of the least counted, then the smallest row; but only of one last seen before itself, else it waits.
Finding them costs a pass over the table, so a table of many rows frees a `1 / SPARE` part of them at once.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.errors import StateError
from springtide.model.id_index import ABSENT, distinct
from springtide.model.id_ledger import Counts, IdLedger, Times
from springtide.model.id_map import IdMap
from springtide.model.id_rows import FALLBACK_ROW, IdRows, Journal, Rows
from springtide.model.id_words import Arrays, Ids, Index, RawIds, as_ids, ids_from_arrays, joined

PENDING_PER_ROW: Final = 4
"""Not yet admitted ids remembered, as a multiple of the capacity; past it, the longest unseen half is forgotten."""
SPARE: Final = 128
_FIRST_PENDING: Final = 64
_MOST_PENDING: Final = 1 << 31


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
        self._clear()

    def _clear(self) -> None:
        self._rows = IdLedger(self.capacity)
        self._waiting = IdLedger(_FIRST_PENDING, _MOST_PENDING)
        self._admitted = np.zeros(self.capacity, np.bool_)  # since the last journal
        self._evicted: list[IdRows] = []  # likewise; without those that no journal told of
        self._to_reset = np.zeros(self.capacity, np.bool_)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def pending(self) -> int:
        """Number of ids seen but not admitted."""
        return len(self._waiting)

    @property
    def nbytes(self) -> int:
        """Bytes held, journals and long texts left out."""
        return self._rows.nbytes + self._waiting.nbytes + self._admitted.nbytes + self._to_reset.nbytes

    def lookup(self, ids: RawIds) -> Rows:
        """Return the row of each id as int64 (N,), the fallback row for the unknown; changes nothing.

        Raises:
            ShapeError: the ids are of several types, or of another than those in the table.
        """
        return self._rows.index.find(as_ids(ids))

    def observe(
        self, ids: RawIds, event_time_ms: int | Times, counts: int | NDArray[np.integer[Any]] = 1
    ) -> Rows:  # fmt: skip
        """Count N observations, admit what has enough, and return each id's row after that, int64 (N,).

        Args:
            ids: raw ids; the empty string means none and always has the fallback row.
            event_time_ms: one for all, or one per id.
            counts: how often each was seen; one for all, or one per id.

        Raises:
            ShapeError: the ids are of several types, or of another than those in the table.
        """
        packed = as_ids(ids)
        rows = self._rows.index.find(packed)
        times_N = np.broadcast_to(np.asarray(event_time_ms, np.int64), rows.shape)
        counts_N = np.broadcast_to(np.asarray(counts, np.uint32), rows.shape)
        known = np.flatnonzero(rows != FALLBACK_ROW)
        self._rows.note(rows[known], times_N[known], counts_N[known])
        unknown = np.flatnonzero((rows == FALLBACK_ROW) & packed.present())
        if not len(unknown):
            return rows
        rows[unknown], evicted = self._observe_unknown(packed.take(unknown), times_N[unknown], counts_N[unknown])
        return self._rows.index.find(packed) if evicted else rows

    def expire(self, now_ms: int) -> int:
        """Take the row of each id last seen before `now_ms - expiry_ms`; returns how many lost theirs."""
        horizon_ms = now_ms - self.expiry_ms
        old = self._rows.seen_before(horizon_ms)
        self._evict(old)
        self._waiting.remove(self._waiting.seen_before(horizon_ms))
        return len(old)

    def rows_to_reset(self) -> Rows:
        """Return, once, the rows given to an id since the last call: vector and optimizer state must start clean."""
        rows = np.flatnonzero(self._to_reset)
        self._to_reset[rows] = False
        return rows

    def take_journal(self) -> Journal:
        """Return, once, what was admitted and evicted since the last call."""
        journal = self._journal()
        self._admitted[:] = False
        self._evicted.clear()
        return journal

    def known(self) -> IdRows:
        """Return the admitted ids, in order of row."""
        rows = self._rows.taken()
        return IdRows(ids=self._rows.index.ids_of(rows), rows=rows)

    def id_map(self) -> IdMap:
        """Return the admitted ids as serving needs them."""
        return IdMap(self.known().to_dict())

    def to_arrays(self) -> Arrays:
        """Return the whole state as plain arrays; ids waiting for admission have rows below 0, each its own."""
        rows, waiting = self._rows.taken(), self._waiting.taken()
        ids = [self._rows.index.ids_of(rows), self._waiting.index.ids_of(waiting)]
        return {
            **joined(ids, self._kind()).to_arrays(),
            "rows": np.concatenate([rows, -waiting]),
            "counts": np.concatenate([self._rows.counts[rows], self._waiting.counts[waiting]]).astype(np.int64),
            "last_seen": np.concatenate([self._rows.last_seen[rows], self._waiting.last_seen[waiting]]),
            "to_reset": np.flatnonzero(self._to_reset),
            **self._journal().to_arrays(),
        }

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what `to_arrays` wrote.

        Raises:
            StateError: a row lies outside this table's capacity.
        """
        rows = np.asarray(arrays["rows"], np.int64)
        if len(rows) and rows.max() >= self.capacity:
            raise StateError(f"id table: expected rows below {self.capacity}, got {rows.max()}; keep model.capacities")
        self._clear()
        ids = ids_from_arrays(arrays)
        times, counts = np.asarray(arrays["last_seen"], np.int64), np.asarray(arrays["counts"]).astype(np.uint32)
        admitted, waiting = np.flatnonzero(rows > 0), np.flatnonzero(rows < 0)
        places = -rows[waiting]
        if len(waiting) > 1 and (places == 1).all():  # a release that wrote -1 for all
            places = np.arange(1, len(waiting) + 1)
        self._rows.put(rows[admitted], ids.take(admitted), times[admitted], counts[admitted])
        self._waiting.put(places, ids.take(waiting), times[waiting], counts[waiting])
        self._to_reset[arrays["to_reset"]] = True
        journal = Journal.from_arrays(arrays)
        self._admitted[journal.admitted.rows] = True
        self._evicted = [journal.evicted] if len(journal.evicted) else []

    def _observe_unknown(self, ids: Ids, times_N: Times, counts_N: Counts) -> tuple[Rows, bool]:
        """Return the rows of ids that had none (N,), and whether others lost theirs; K of the N ids differ."""
        first, which_N = distinct(ids)
        ids_K, times_K, counts_K = ids.take(first), times_N[first], np.zeros(len(first), np.uint32)
        np.add.at(counts_K, which_N, counts_N)
        np.maximum.at(times_K, which_N, times_N)
        waiting_K = self._waiting.index.find(ids_K)
        here = np.flatnonzero(waiting_K != ABSENT)
        counts_K[here] += self._waiting.counts[waiting_K[here]]
        times_K[here] = np.maximum(times_K[here], self._waiting.last_seen[waiting_K[here]])

        ready, evicted = self._make_room(np.flatnonzero(counts_K >= self.admission_count), times_K, counts_K)
        rows_K = np.full(len(first), FALLBACK_ROW)
        if len(ready):
            rows_K[ready] = given = self._rows.add(ids_K.take(ready), times_K[ready], counts_K[ready])
            self._admitted[given] = self._to_reset[given] = True
        waits = rows_K == FALLBACK_ROW
        self._waiting.remove(waiting_K[~waits & (waiting_K != ABSENT)])
        stays, comes = np.flatnonzero(waits & (waiting_K != ABSENT)), np.flatnonzero(waits & (waiting_K == ABSENT))
        self._waiting.counts[waiting_K[stays]] = counts_K[stays]
        self._waiting.last_seen[waiting_K[stays]] = times_K[stays]
        if len(comes):
            self._waiting.add(ids_K.take(comes), times_K[comes], counts_K[comes])
        if len(self._waiting) > PENDING_PER_ROW * self.capacity:
            self._waiting.remove(self._waiting.oldest(len(self._waiting) // 2))
        return rows_K[which_N], evicted

    def _make_room(self, ready: Index, times_K: Times, counts_K: Counts) -> tuple[Index, bool]:
        """Return which of the ready ids have a row to go to, ascending, and whether others were evicted for it."""
        room = self._rows.room
        if len(ready) <= room:
            return ready, False
        newest_first = ready[np.lexsort((ready, -counts_K[ready].astype(np.int64), -times_K[ready]))]
        short = min(len(ready) - room, len(self._rows))
        victims = self._rows.oldest(min(max(short, self.capacity // SPARE), len(self._rows)))
        seen = self._rows.last_seen[victims]
        swaps = int((seen[:short] < times_K[newest_first[room : room + short]]).sum())
        if swaps:
            spare = victims[swaps : self.capacity // SPARE]
            older = self._rows.last_seen[spare] < times_K[newest_first[room + swaps - 1]]
            self._evict(np.concatenate([victims[:swaps], spare[older]]))
        return np.sort(newest_first[: room + swaps]), swaps > 0

    def _evict(self, rows: Rows) -> None:
        if not len(rows):
            return
        told = rows[~self._admitted[rows]]  # admitted and evicted between two journals leaves no trace
        if len(told):
            self._evicted.append(IdRows(ids=self._rows.index.ids_of(told), rows=told))
        self._admitted[rows] = self._to_reset[rows] = False
        self._rows.remove(rows)

    def _journal(self) -> Journal:
        rows = np.flatnonzero(self._admitted)
        gone = [np.zeros(0, np.int64), *(part.rows for part in self._evicted)]
        return Journal(
            admitted=IdRows(ids=self._rows.index.ids_of(rows), rows=rows),
            evicted=IdRows(
                ids=joined([part.ids for part in self._evicted], self._kind()), rows=np.concatenate(gone)
            ),
        )  # fmt: skip

    def _kind(self) -> Any:
        return self._rows.index.kind or self._waiting.index.kind or "text"
