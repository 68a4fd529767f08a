"""What is known of each id of a set: how often it was seen and when last; the smallest free number is given first.

Entry numbers mean something to the owner (embedding rows, or places in a waiting room). Shapes: N observations,
K entries. Which id has which entry depends on the order of the calls alone, never on hashing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from springtide.model.id_index import IdIndex
from springtide.model.id_words import Ids, Index

FREE: Final = np.iinfo(np.int64).max
"""Last seen of an entry that is free: later than any time, so that it never is the oldest."""

Times = NDArray[np.int64]
Counts = NDArray[np.uint32]


class IdLedger:
    """Ids with their counts and times.

    Args:
        size: entries are numbered 1 to size - 1.
        most: sizes up to this are grown into; none fixes the size.
    """

    def __init__(self, size: int, most: int | None = None) -> None:
        self.index = IdIndex(size)
        self.counts: Counts = np.zeros(size, np.uint32)
        self.last_seen: Times = np.full(size, FREE)
        self._most = most or size
        self._freed = np.zeros(0, np.int64)  # ascending, all below _fresh
        self._fresh = 1  # from here on no entry was ever taken

    def __len__(self) -> int:
        return self._fresh - 1 - len(self._freed)

    @property
    def room(self) -> int:
        """How many ids can still be added."""
        return self._most - 1 - len(self)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.index.nbytes + self.counts.nbytes + self.last_seen.nbytes

    def note(self, entries: Index, times: Times, counts: Counts) -> None:
        """Count N observations of entries, which may repeat; a late one makes none older."""
        np.add.at(self.counts, entries, counts)
        np.maximum.at(self.last_seen, entries, times)

    def add(self, ids: Ids, times: Times, counts: Counts) -> Index:
        """Take in K different unknown ids, no more than `room`; returns their entries, ascending."""
        entries = self._smallest_free(len(ids))
        self.index.claim(entries, ids)
        self.last_seen[entries], self.counts[entries] = times, counts
        return entries

    def put(self, entries: Index, ids: Ids, times: Times, counts: Counts) -> None:
        """Take in K different ids at given entries, into an empty ledger."""
        self._reserve(int(entries.max(initial=0)) + 1)
        self.index.claim(entries, ids)
        self.last_seen[entries], self.counts[entries] = times, counts
        self._fresh = int(entries.max(initial=0)) + 1
        self._freed = np.flatnonzero(self.last_seen[1 : self._fresh] == FREE) + 1

    def remove(self, entries: Index) -> None:
        """Forget ids by their entries."""
        if not len(entries):
            return
        self.index.remove(entries)
        self.last_seen[entries], self.counts[entries] = FREE, 0
        self._freed = np.sort(np.concatenate([self._freed, entries]))

    def taken(self) -> Index:
        """Return all entries that hold an id, ascending."""
        return np.flatnonzero(self.last_seen[: self._fresh] != FREE)

    def seen_before(self, horizon_ms: int) -> Index:
        """Return the entries last seen before a time, ascending."""
        return np.flatnonzero(self.last_seen[: self._fresh] < horizon_ms)

    def oldest(self, count: int) -> Index:
        """Return `count` entries, longest unseen first; of equals the least counted, then the smallest.

        Costs a few passes over the ledger, however many are equally old, and a sort of what it returns.
        """
        if not count:
            return np.zeros(0, np.int64)
        times = self.last_seen[: self._fresh]
        newest = np.partition(times, count - 1)[count - 1]
        older, ties = np.flatnonzero(times < newest), np.flatnonzero(times == newest)
        wanted, counts = count - len(older), self.counts[ties]
        most = np.partition(counts, wanted - 1)[wanted - 1]
        least = np.concatenate([ties[counts < most], ties[counts == most]])[:wanted]
        chosen = np.concatenate([older, least])
        return chosen[np.lexsort((chosen, self.counts[chosen], times[chosen]))]

    def _smallest_free(self, count: int) -> Index:
        again = min(count, len(self._freed))
        entries = np.concatenate([self._freed[:again], np.arange(self._fresh, self._fresh + count - again)])
        self._freed = self._freed[again:]
        self._fresh += count - again
        self._reserve(self._fresh)
        return entries

    def _reserve(self, size: int) -> None:
        have = self.index.size
        if size > have:
            wanted = min(max(2 * have, size), self._most)
            self.index.grow(wanted)
            self.counts = np.concatenate([self.counts, np.zeros(wanted - have, np.uint32)])
            self.last_seen = np.concatenate([self.last_seen, np.full(wanted - have, FREE)])
