"""Delay curves per segment: one pooled curve is wrong when likely buyers convert later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.label_maturity import DelayCurve
from springtide.quality.rows import Floats, State, as_floats, check_same_length


@dataclass(slots=True)
class SegmentedDelayCurve:
    """Delay curves by segment, each falling back to the pooled curve while it has few labels."""

    window_ms: int
    min_labels: int = 200
    curves: dict[str, DelayCurve] = field(default_factory=dict)

    def add(self, delays_ms_N: ArrayLike, segments_N: Sequence[str], ages_ms_N: ArrayLike | None = None) -> None:
        """Add N labels with the segment of each; see `DelayCurve.add`."""
        delays = as_floats("delays_ms_N", delays_ms_N)
        segments = np.asarray(segments_N, dtype=str)
        check_same_length("segments_N", segments, len(delays))
        ages = None if ages_ms_N is None else as_floats("ages_ms_N", ages_ms_N)
        for segment in np.unique(segments):
            rows = segments == segment
            curve = self.curves.setdefault(str(segment), DelayCurve(self.window_ms))
            curve.add(delays[rows], None if ages is None else ages[rows])

    def pooled(self) -> DelayCurve:
        """Return the curve over all segments."""
        total = DelayCurve(self.window_ms)
        for curve in self.curves.values():
            total = total.merge(curve)
        return total

    def completeness(self, ages_ms_N: ArrayLike, segments_N: Sequence[str]) -> Floats | None:
        """Return F(age) of each row's segment, shape (N,); None before the first label of any segment."""
        ages = as_floats("ages_ms_N", ages_ms_N)
        segments = np.asarray(segments_N, dtype=str)
        check_same_length("segments_N", segments, len(ages))
        result = self.pooled().completeness(ages)
        if result is None:
            return None
        for segment, curve in self.curves.items():
            rows = segments == segment
            if curve.count >= self.min_labels and bool(rows.any()):
                own = curve.completeness(ages[rows])
                result[rows] = result[rows] if own is None else own
        return result

    def merge(self, other: Self) -> Self:
        """Return the curves of both label sets."""
        curves: dict[str, DelayCurve] = {}
        for segment, curve in [*self.curves.items(), *other.curves.items()]:
            curves[segment] = curves.get(segment, DelayCurve(self.window_ms)).merge(curve)
        return type(self)(self.window_ms, self.min_labels, curves)

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        curves = {segment: curve.to_dict() for segment, curve in self.curves.items()}
        return {"window_ms": self.window_ms, "min_labels": self.min_labels, "curves": curves}

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the curves that `to_dict` wrote."""
        curves = {segment: DelayCurve.from_dict(inner) for segment, inner in state["curves"].items()}
        return cls(int(state["window_ms"]), int(state["min_labels"]), curves)
