"""Raw id -> row as serving sees it: read only, replaced whole when a delta comes.

A dict and not an IdIndex: a slate asks for a hundred ids at a time, and a dict answers those before an index has
packed them (docs/decisions/id-table.md).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.errors import StateError
from springtide.model.id_rows import FALLBACK_ROW, IdRows, Journal, Rows
from springtide.model.id_words import Arrays

__all__ = ["FALLBACK_ROW", "IdMap", "Journal", "Rows"]


@dataclass(frozen=True, slots=True)
class IdMap:
    """Admitted ids and their rows."""

    row_of: Mapping[str, int]

    def lookup(self, ids: Sequence[str]) -> Rows:
        """Return the row of each id as int64 (N,), FALLBACK_ROW for the unknown."""
        return np.fromiter(map(self.row_of.get, ids, repeat(FALLBACK_ROW)), np.int64, len(ids))

    def apply(self, journal: Journal) -> "IdMap":
        """Return a new map with the journal applied; this one stays as it is.

        Raises:
            StateError: the journal evicts an id that this map does not have at that row.
        """
        row_of, evicted = dict(self.row_of), journal.evicted.ids.to_list()
        wrong = np.flatnonzero(self.lookup(evicted) != journal.evicted.rows)
        if len(wrong):
            raw_id, row = evicted[wrong[0]], int(journal.evicted.rows[wrong[0]])
            raise StateError(f"id journal: expected id {raw_id!r} at row {row}, got another; start from the base")
        deque(map(row_of.pop, evicted), maxlen=0)
        row_of.update(journal.admitted.to_dict())
        return IdMap(row_of)

    def to_arrays(self) -> Arrays:
        """Return plain arrays, in order of row: equal maps give equal bytes."""
        return IdRows.of(dict(sorted(self.row_of.items(), key=lambda pair: pair[1]))).to_arrays("known")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "IdMap":
        """Return what `to_arrays` wrote."""
        return cls(IdRows.from_arrays("known", arrays).to_dict())
