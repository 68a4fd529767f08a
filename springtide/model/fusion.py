"""Probabilities per task to one score per row. Shapes: N rows, T tasks."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.tasks import TASKS

Formula = Literal["sum", "product"]
_FLOOR = 1e-12


def fuse(probabilities_NT: NDArray[np.float32], formula: Formula, weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Return float32 (N,): `sum` is sum_t w_t p_t, `product` is prod_t p_t ** w_t; a task without a weight has 0."""
    weights_T = np.array([weights.get(task, 0.0) for task in TASKS], np.float32)
    if formula == "sum":
        return np.asarray(probabilities_NT @ weights_T, np.float32)
    return np.exp(np.log(np.maximum(probabilities_NT, _FLOOR)) @ weights_T).astype(np.float32)
