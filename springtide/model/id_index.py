"""An exact hash index over packed ids: id -> entry, vectorised open addressing with linear probing (Knuth, TAOCP 6.4).

A slot is 32 bits: an entry's number, and above it as many bits of the hash as are left, so that most wrong entries are
passed over unread. An entry counts as found when all its words equal the id's: hashes decide speed, never a result.
Shapes: N ids, M slots (nine for four entries).
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.errors import ShapeError
from springtide.model.id_words import Ids, Index, Kind, Words

ABSENT: Final = 0
"""Stands for no entry; entries are numbered from 1."""
_CHUNK: Final = 1 << 17
"""Ids treated together: few enough that what lies between two numpy calls stays in the cache."""
_EMPTY: Final = np.uint32(0)
_GONE: Final = np.uint32(0xFFFF_FFFF)
_GONE_SHARE: Final = 0.2
"""Of the slots; with more of them left behind by removed entries, all entries are laid out anew."""
_32: Final = np.uint64(32)

Slots = NDArray[np.uint32]


class IdIndex:
    """Ids by entry and entries by id.

    Args:
        size: entries are numbered 1 to size - 1; `grow` makes it larger.
    """

    def __init__(self, size: int) -> None:
        self.kind: Kind | None = None
        """Of all ids in it; the first one decides."""
        self._size = size
        self._columns: list[Words] = []
        self._long: dict[bytes, bytes] = {}
        self._slots: Slots = np.zeros(0, np.uint32)
        self._number_mask = _EMPTY
        self._lay_out(size)

    @property
    def size(self) -> int:
        """One more than the largest entry there may be."""
        return self._size

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, those of long texts left out."""
        return self._slots.nbytes + sum(column.nbytes for column in self._columns)

    def find(self, ids: Ids) -> Index:
        """Return each id's entry, ABSENT where there is none, int64 (N,).

        Raises:
            ShapeError: the ids are of another kind than those in the index.
        """
        self._check_kind(ids)
        found = np.zeros(len(ids), np.int64)
        if self._live:
            for start in range(0, len(ids), _CHUNK):
                part = ids.take(slice(start, start + _CHUNK))
                self._find(part, found[start : start + _CHUNK])
        return found

    def claim(self, entries: Index, ids: Ids) -> Index:
        """Give each id its entry; of equal ids the first gets its own, and all others that one.

        Args:
            entries: free and distinct, (N,).
            ids: none of them in the index, but they may repeat.

        Returns:
            Each id's entry after that, int64 (N,).

        Raises:
            ShapeError: the ids are of another kind than those in the index.
        """
        self._check_kind(ids)
        self.kind = ids.kind
        self._long.update(ids.long_texts())
        while len(self._columns) < len(ids.words):
            self._columns.append(np.zeros(self._size, np.uint64))
        for place, column in enumerate(self._columns):
            column[entries] = ids.words[place] if place < len(ids.words) else 0
        owners = entries.copy()
        for start in range(0, len(ids), _CHUNK):
            part = slice(start, start + _CHUNK)
            self._claim(entries[part], ids.take(part), owners[part])
        return owners

    def remove(self, entries: Index) -> None:
        """Forget ids by their entries, which must be taken."""
        ids = self.ids_of(entries)
        place, tag = self._homes(ids)
        wanted = tag | entries.astype(np.uint32)
        while len(place):
            there = self._slots.take(place) == wanted
            self._slots[place[there]] = _GONE
            place, wanted = self._next(place[~there]), wanted[~there]
        self._live -= len(entries)
        self._gone += len(entries)
        for digest in ids.long:
            del self._long[digest]
        if self._gone > _GONE_SHARE * len(self._slots):
            self._lay_out(self._size)

    def ids_of(self, entries: Index) -> Ids:
        """Return the ids of entries, which must be taken."""
        columns = self._columns or [np.zeros(self._size, np.uint64)]
        ids = Ids(kind=self.kind or "text", words=tuple(column[entries] for column in columns), long=self._long)
        return replace(ids, long=ids.long_texts())

    def grow(self, size: int) -> None:
        """Make room for entries up to `size - 1`."""
        for place, column in enumerate(self._columns):
            self._columns[place] = np.concatenate([column, np.zeros(size - len(column), np.uint64)])
        self._lay_out(size)

    def _lay_out(self, size: int) -> None:
        """Make slots for `size` entries, and put what was in the old ones into them."""
        taken = self._slots[(self._slots != _EMPTY) & (self._slots != _GONE)]
        entries = (taken & self._number_mask).astype(np.int64)
        self._size = size
        self._number_mask = np.uint32((1 << max(size, 2).bit_length()) - 1)
        self._slots = np.zeros(max(9 * size // 4, 8), np.uint32)
        self._live = self._gone = 0
        for start in range(0, len(entries), _CHUNK):
            part = entries[start : start + _CHUNK]
            self._claim(part, self.ids_of(part), part.copy())

    def _find(self, ids: Ids, found: Index) -> None:
        place, tag = self._homes(ids)
        words: list[Words] = list(ids.words)
        left: Index | slice = slice(None)
        while True:
            slot = self._slots.take(place)
            entry = (slot ^ tag).astype(np.int64)  # of an equal tag: the number alone
            missed = np.flatnonzero(~self._holds(entry, words))
            found[left] = entry
            back = missed if isinstance(left, slice) else left.take(missed)
            found[back] = ABSENT
            on = slot.take(missed) != _EMPTY
            rest, left = missed[on], back[on]
            if not len(rest):
                return
            place, tag = self._next(place.take(rest)), tag.take(rest)
            words = [word.take(rest) for word in words]

    def _claim(self, entries: Index, ids: Ids, owners: Index) -> None:
        place, tag = self._homes(ids)
        mine = tag | entries.astype(np.uint32)
        words: list[Words] = list(ids.words)
        left = np.arange(len(entries))
        while len(left):
            before = self._slots.take(place)
            free = np.flatnonzero((before == _EMPTY) | (before == _GONE))[::-1]  # of several the first writes last
            self._slots[place[free]] = mine[free]
            slot = self._slots.take(place)
            won = slot == mine
            self._live += int(won.sum())
            self._gone -= int((won & (before == _GONE)).sum())
            entry = (slot ^ tag).astype(np.int64)
            same = self._holds(entry, words) & ~won
            owners[left[same]] = entry[same]
            rest = np.flatnonzero(~(won | same))
            left, mine, tag = left[rest], mine[rest], tag[rest]
            place, words = self._next(place[rest]), [word[rest] for word in words]

    def _holds(self, entries: Index, words: list[Words]) -> NDArray[np.bool_]:
        """Return whether each entry exists and all its words are those given."""
        equal = entries < self._size
        for place in range(max(len(self._columns), len(words))):
            asked = words[place] if place < len(words) else np.uint64(0)
            held = self._columns[place].take(entries, mode="clip") if place < len(self._columns) else np.uint64(0)
            equal &= np.equal(held, asked)
        return equal

    def _homes(self, ids: Ids) -> tuple[Index, Slots]:
        """Return each id's first place, and its hash's bits above the entry's number."""
        hashes = ids.hashes()
        tag = hashes.astype(np.uint32) & ~self._number_mask
        hashes >>= _32
        hashes *= np.uint64(len(self._slots))
        hashes >>= _32
        return hashes.view(np.int64), tag

    def _next(self, place: Index) -> Index:
        place += 1
        place[place == len(self._slots)] = 0
        return place

    def _check_kind(self, ids: Ids) -> None:
        if len(ids) and self.kind not in (None, ids.kind):
            raise ShapeError(f"id index: expected {self.kind} ids, got {ids.kind}; convert them")


def distinct(ids: Ids) -> tuple[Index, Index]:
    """Return where each different id comes first, ascending (K,), and which of these each of the N ids is, (N,)."""
    entries = np.arange(1, len(ids) + 1)
    owners = IdIndex(len(ids) + 1).claim(entries, ids)
    own = owners == entries
    return np.flatnonzero(own), (np.cumsum(own) - 1)[owners - 1]
