"""The quality figures of one task over one set of rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.auc import HistogramAuc
from springtide.quality.calibration import Calibration
from springtide.quality.normalized_entropy import NormalizedEntropy
from springtide.quality.rows import State


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Figures of one set of rows; None where the rows cannot answer."""

    rows: int
    positives: float
    base_rate: float | None
    log_loss: float | None
    normalized_entropy: float | None
    auc: float | None
    calibration: float | None
    calibration_interval: tuple[float, float] | None


@dataclass(slots=True)
class TaskQuality:
    """Log loss, NE, AUC and calibration of the same rows."""

    rows: int = 0
    entropy: NormalizedEntropy = field(default_factory=NormalizedEntropy)
    auc: HistogramAuc = field(default_factory=HistogramAuc)
    calibration: Calibration = field(default_factory=Calibration)

    def update(self, probabilities_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None = None) -> None:
        """Add N rows; errors as in `as_rows`."""
        self.entropy.update(probabilities_N, labels_N, weights_N)
        self.auc.update(probabilities_N, labels_N, weights_N)
        self.calibration.update(probabilities_N, labels_N, weights_N)
        self.rows += int(np.size(labels_N))

    def merge(self, other: Self) -> Self:
        """Return the figures of both row sets."""
        return type(self)(
            self.rows + other.rows,
            self.entropy.merge(other.entropy),
            self.auc.merge(other.auc),
            self.calibration.merge(other.calibration),
        )

    def report(self, level: float = 0.95) -> QualityReport:
        """Return every figure, the calibration interval at `level`."""
        entropy = self.entropy
        return QualityReport(
            rows=self.rows,
            positives=entropy.sum_label,
            base_rate=entropy.base_rate,
            log_loss=entropy.sum_loss / entropy.sum_weight if entropy.sum_weight > 0.0 else None,
            normalized_entropy=entropy.value,
            auc=self.auc.value,
            calibration=self.calibration.value,
            calibration_interval=self.calibration.interval(level),
        )

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {
            "rows": self.rows,
            "entropy": self.entropy.to_dict(),
            "auc": self.auc.to_dict(),
            "calibration": self.calibration.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the figures that `to_dict` wrote."""
        return cls(
            int(state["rows"]),
            NormalizedEntropy.from_dict(state["entropy"]),
            HistogramAuc.from_dict(state["auc"]),
            Calibration.from_dict(state["calibration"]),
        )
