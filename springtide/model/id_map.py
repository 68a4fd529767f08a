"""Raw id -> row as serving sees it: read only, replaced whole when a delta comes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.errors import StateError
from springtide.model.id_blob import pack_ids, unpack_ids

Rows = NDArray[np.int64]

FALLBACK_ROW = 0
"""The learned row of unknown and not yet admitted ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """What happened to an id table since the last journal. Evictions apply before admissions."""

    admitted: dict[str, int]
    """Raw id to its new row."""
    evicted: dict[str, int]
    """Raw id to the row that it lost."""

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays: ids as UTF-8 blob and offsets, and their rows."""
        return {**_pairs("admitted", self.admitted), **_pairs("evicted", self.evicted)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Journal":
        """Return what `to_arrays` wrote."""
        return cls(admitted=_from_pairs("admitted", arrays), evicted=_from_pairs("evicted", arrays))


@dataclass(frozen=True, slots=True)
class IdMap:
    """Admitted ids and their rows."""

    row_of: Mapping[str, int]

    def lookup(self, ids: Sequence[str]) -> Rows:
        """Return the row of each id, FALLBACK_ROW for the unknown."""
        return lookup_rows(self.row_of, ids)

    def apply(self, journal: Journal) -> "IdMap":
        """Return a new map with the journal applied; this one stays as it is.

        Raises:
            StateError: the journal evicts an id that this map does not have at that row.
        """
        row_of = dict(self.row_of)
        for raw_id, row in journal.evicted.items():
            if row_of.pop(raw_id, None) != row:
                raise StateError(f"id journal: expected id {raw_id!r} at row {row}, got another; start from the base")
        row_of.update(journal.admitted)
        return IdMap(row_of)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays, in order of row: equal maps give equal bytes."""
        return _pairs("known", dict(sorted(self.row_of.items(), key=lambda pair: pair[1])))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "IdMap":
        """Return what `to_arrays` wrote."""
        return cls(_from_pairs("known", arrays))


def lookup_rows(row_of: Mapping[str, int], ids: Sequence[str]) -> Rows:
    """Return the row of each id as int64 (N,), FALLBACK_ROW for the unknown."""
    return np.fromiter(map(row_of.get, ids, repeat(FALLBACK_ROW)), np.int64, len(ids))


def _pairs(name: str, pairs: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    blob, offsets = pack_ids(list(pairs))
    return {
        f"{name}.ids": blob,
        f"{name}.offsets": offsets,
        f"{name}.rows": np.fromiter(pairs.values(), np.int64, len(pairs)),
    }


def _from_pairs(name: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    ids = unpack_ids(arrays[f"{name}.ids"], arrays[f"{name}.offsets"])
    return dict(zip(ids, arrays[f"{name}.rows"].tolist(), strict=True))
