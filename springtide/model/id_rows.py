"""Ids with their rows, and what changed between two bundles: the key part of a base and of a delta."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from springtide.model.id_words import Arrays, Ids, as_ids, ids_from_arrays

Rows = NDArray[np.int64]

FALLBACK_ROW: Final = 0
"""The learned row of unknown and not yet admitted ids."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class IdRows:
    """N ids and the row of each."""

    ids: Ids
    rows: Rows
    """int64 (N,)."""

    @classmethod
    def of(cls, row_of: Mapping[str, int]) -> "IdRows":
        """Return a mapping's ids and rows, in its order."""
        return cls(ids=as_ids(list(row_of)), rows=np.fromiter(row_of.values(), np.int64, len(row_of)))

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[Any, int]:
        """Return id to row."""
        return dict(zip(self.ids.to_list(), self.rows.tolist(), strict=True))

    def to_arrays(self, name: str) -> Arrays:
        """Return plain arrays, `name` before the name of each: ids as UTF-8 blob and offsets, and rows."""
        return {f"{name}.{part}": array for part, array in {**self.ids.to_arrays(), "rows": self.rows}.items()}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, NDArray[Any]]) -> "IdRows":
        """Return what `to_arrays` wrote."""
        return cls(ids=ids_from_arrays(arrays, f"{name}."), rows=np.asarray(arrays[f"{name}.rows"], np.int64))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Journal:
    """What happened to an id table since the last journal. Evictions apply before admissions."""

    admitted: IdRows
    """Ids with their new rows."""
    evicted: IdRows
    """Ids with the rows that they lost."""

    @classmethod
    def of(cls, admitted: Mapping[str, int], evicted: Mapping[str, int]) -> "Journal":
        """Return a journal of ids by row."""
        return cls(admitted=IdRows.of(admitted), evicted=IdRows.of(evicted))

    def to_arrays(self) -> Arrays:
        """Return plain arrays: ids as UTF-8 blob and offsets, and their rows."""
        return {**self.admitted.to_arrays("admitted"), **self.evicted.to_arrays("evicted")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Journal":
        """Return what `to_arrays` wrote."""
        return cls(admitted=IdRows.from_arrays("admitted", arrays), evicted=IdRows.from_arrays("evicted", arrays))
