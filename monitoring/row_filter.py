"""Drops rows that were seen before: the joiner may repeat a row after a crash."""

from springtide.contracts.samples import Sample


class RowFilter:
    """Remembers row ids for a span of event time."""

    def __init__(self, keep_ms: int) -> None:
        self._keep_ms = keep_ms
        self._seen: dict[str, int] = {}
        self._newest_ms = 0
        self._next_sweep_ms = 0
        self.repeated = 0

    def take(self, rows: list[Sample]) -> list[Sample]:
        """Give the rows that are new, in order."""
        fresh = []
        for row in rows:
            if row.row_id in self._seen:
                self.repeated += 1
                continue
            self._seen[row.row_id] = row.impression_time_ms
            self._newest_ms = max(self._newest_ms, row.impression_time_ms)
            fresh.append(row)
        if self._newest_ms > self._next_sweep_ms:
            oldest = self._newest_ms - self._keep_ms
            self._seen = {row_id: time_ms for row_id, time_ms in self._seen.items() if time_ms >= oldest}
            self._next_sweep_ms = self._newest_ms + self._keep_ms // 8
        return fresh
