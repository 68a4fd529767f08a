"""Which rows have been taken, so that a row repeated by the joiner after a crash is not learned twice."""

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.topics import HOUR_MS
from springtide.model.id_blob import pack_ids, unpack_ids

Arrays = dict[str, NDArray[np.generic]]


class SeenRows:
    """An exact set of row ids, forgotten an hour of event time at a time.

    Args:
        keep_ms: event time for which a row is remembered. The joiner repeats a row only within what it has not
            committed, so a span of the longest attribution window and a day is ample.
    """

    def __init__(self, keep_ms: int) -> None:
        self._keep_ms = keep_ms
        self._hours: dict[int, set[str]] = {}
        self._newest_hour = -(2**62)
        self.repeated = 0
        """Rows refused because they had been seen."""

    def __len__(self) -> int:
        return sum(len(hour) for hour in self._hours.values())

    def add(self, row_id: str, impression_time_ms: int) -> bool:
        """Remember a row; False if it was there already."""
        number = impression_time_ms // HOUR_MS
        hour = self._hours.setdefault(number, set())
        if row_id in hour:
            self.repeated += 1
            return False
        hour.add(row_id)
        if number > self._newest_hour:
            self._newest_hour = number
            self._forget()
        return True

    def _forget(self) -> None:
        oldest = self._newest_hour - self._keep_ms // HOUR_MS
        for number in [number for number in self._hours if number < oldest]:
            del self._hours[number]

    def to_arrays(self) -> Arrays:
        """Return the state as plain arrays."""
        hours = sorted(self._hours)
        blob, offsets = pack_ids([row for hour in hours for row in sorted(self._hours[hour])])
        sizes = np.array([len(self._hours[hour]) for hour in hours], np.int64)
        return {"ids": blob, "offsets": offsets, "hours": np.array(hours, np.int64), "sizes": sizes}

    def load(self, arrays: Arrays) -> None:
        """Add what `to_arrays` wrote; several states may be loaded one after another."""
        rows = iter(unpack_ids(arrays["ids"], arrays["offsets"]))  # type: ignore[arg-type]
        for hour, size in zip(arrays["hours"].tolist(), arrays["sizes"].tolist(), strict=True):
            self._hours.setdefault(hour, set()).update(islice(rows, size))
        self._newest_hour = max(self._hours, default=self._newest_hour)
