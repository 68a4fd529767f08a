"""Blocks of matured residuals that carry equal information."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.rows import Floats, Ints, as_rows, check_same_length, clip


@dataclass(slots=True)
class ResidualBlock:
    """Sums over consecutive matured rows."""

    rows: int = 0
    labels: float = 0.0
    expected: float = 0.0
    information: float = 0.0
    start_ms: int = 0
    end_ms: int = 0

    @property
    def shift(self) -> float:
        """Estimated shift of the log odds, (sum y - sum p) / sum p(1 - p): about the relative shift of a rare rate.

        It is one scoring step from no shift, with variance 1 / information under a calibrated model.
        The mean of per-row residuals (y - p) / sqrt(p(1 - p)) measures the same but with heavy tails:
        one positive at p = 0.001 already reads 32.
        """
        return (self.labels - self.expected) / self.information

    def extend(self, p: Floats, y: Floats, times: Ints) -> None:
        """Add rows."""
        self.start_ms = int(times[0]) if self.rows == 0 else self.start_ms
        self.end_ms = max(self.end_ms, int(times.max()))
        self.rows += len(p)
        self.labels += float(y.sum())
        self.expected += float(p.sum())
        self.information += float((p * (1.0 - p)).sum())

    def to_list(self) -> list[float]:
        """Return the fields in order, for JSON."""
        return [self.rows, self.labels, self.expected, self.information, self.start_ms, self.end_ms]

    @classmethod
    def from_list(cls, fields: list[float]) -> Self:
        """Return the block that `to_list` wrote."""
        rows, labels, expected, information, start_ms, end_ms = fields
        return cls(int(rows), labels, expected, information, int(start_ms), int(end_ms))


@dataclass(slots=True)
class BlockCutter:
    """Cuts a stream of rows into blocks of at least `information` = sum p(1 - p) and `span_ms`.

    Rare tasks are bound by the information, frequent ones by the span, so that neither noise nor an
    hour of model wander weighs more in one task than in another.
    """

    information: float
    span_ms: int
    open: ResidualBlock = field(default_factory=ResidualBlock)

    def cut(self, probabilities_N: ArrayLike, labels_N: ArrayLike, event_times_ms_N: ArrayLike) -> list[ResidualBlock]:
        """Add N rows in arrival order and return the blocks they closed; errors as in `as_rows`."""
        p, y, _ = as_rows(probabilities_N, labels_N)
        times = np.asarray(event_times_ms_N, dtype=np.int64)
        check_same_length("event_times_ms_N", times, len(p))
        p = clip(p)
        information = np.cumsum(p * (1.0 - p))
        newest = np.maximum.accumulate(times)
        closed: list[ResidualBlock] = []
        start = 0
        while start < len(p):
            used = float(information[start - 1]) if start else 0.0
            stop = self._stop(information - used, newest, start)
            self.open.extend(p[start : stop + 1], y[start : stop + 1], times[start : stop + 1])
            start = stop + 1
            if stop < len(p):
                closed.append(self.open)
                self.open = ResidualBlock()
        return closed

    def _stop(self, information: Floats, newest: Ints, start: int) -> int:
        """Return the index of the row that closes the open block, or the number of rows if none does."""
        from_ms = self.open.start_ms if self.open.rows else int(newest[start])
        full = int(np.searchsorted(information, self.information - self.open.information))
        late = int(np.searchsorted(newest, from_ms + self.span_ms))
        return max(full, late, start)
