"""Adjusted p-values: Holm where one false claim ships, Benjamini-Hochberg over goal metrics.

Guardrail alarms stay uncorrected: missing harm is worse than a needless pause.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _checked(p_values_M: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(p_values_M, dtype=np.float64)
    if p.ndim != 1 or not bool(((p >= 0.0) & (p <= 1.0)).all()):
        raise ValueError("p_values_M: expected shape (M,) within [0, 1], got otherwise; drop undefined ones")
    return p


def holm(p_values_M: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted for the family-wise error rate (Holm 1979), in the order given."""
    p = _checked(p_values_M)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))) if len(p) else p
    return _restored(adjusted, order)


def benjamini_hochberg(p_values_M: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995), in the order given."""
    p = _checked(p_values_M)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) / np.arange(1, len(p) + 1))
    return _restored(np.minimum.accumulate(scaled[::-1])[::-1] if len(p) else p, order)


def _restored(adjusted: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    result = np.empty(len(order), dtype=np.float64)
    result[order] = np.minimum(adjusted, 1.0)
    return result
