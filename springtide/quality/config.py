"""Settings of the quality measures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
METHODS = ("page_hinkley", "adwin")


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftConfig:
    """How the concept-drift alarm of one task decides."""

    method: str = "page_hinkley"
    """Change detector over block residuals: page_hinkley, or adwin (river; knows no tolerance)."""

    block_expected_positives: float = 25.0
    """Least size of a block in information, sum of p(1 - p): about the positives expected in it.
    It makes a relative change equally visible for a frequent and a rare task."""

    block_span_ms: int = HOUR_MS
    """Least event time in ms that a block spans: a frequent task must not alarm on minutes of wander."""

    tolerated_shift: float = 0.2
    """Relative change of labels over predictions that is no drift: wander of a model that keeps learning."""

    tolerated_rate_change: float = 0.25
    """Relative change of the positive rate against its own past that is no drift."""

    rate_threshold: float = 6.0
    """As `threshold`, for the rate against its own past."""

    least_evidence: float = 2.0
    """Standard deviations by which labels must have left the predictions, and their rate its past, to confirm."""

    threshold: float = 8.0
    """Page-Hinkley alarm level, in standard deviations of a block of the least size."""

    warm_up_ms: int = 42 * HOUR_MS
    """Event time in ms from the first row in which nothing fires; its second half sets the baseline."""

    cooldown_ms: int = 12 * HOUR_MS
    """Event time in ms after an alarm in which the task is silent and finds its new baseline."""

    baseline_memory_ms: int = 36 * HOUR_MS
    """Time constant in ms of both series' baselines; a slower change than this is learning, not drift."""

    adwin_delta: float = 0.0005
    """Confidence parameter of ADWIN; smaller is slower and quieter."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if self.method not in METHODS:
            yield f"drift.method: expected one of {', '.join(METHODS)}, got {self.method!r}; pick one"
        for name in (
            "block_expected_positives",
            "threshold",
            "rate_threshold",
            "least_evidence",
            "baseline_memory_ms",
            "cooldown_ms",
        ):
            if getattr(self, name) <= 0:
                yield f"drift.{name}: expected more than 0, got {getattr(self, name)}; raise it"
        if self.warm_up_ms < 0:
            yield f"drift.warm_up_ms: expected at least 0, got {self.warm_up_ms}; raise it"
        for name in ("tolerated_shift", "tolerated_rate_change"):
            if not 0.0 <= getattr(self, name) < 1.0:
                yield f"drift.{name}: expected 0 to below 1, got {getattr(self, name)}; use a share"
        if not 0.0 < self.adwin_delta < 1.0:
            yield f"drift.adwin_delta: expected between 0 and 1, got {self.adwin_delta}; use a probability"
