"""Samples to labels and their maturity, row by row like `columns_from_samples`. Shapes: N rows, T tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS

OPEN, OBSERVED, CLOSED = 0, 1, 2
_CODE: Final = {"open": OPEN, "observed": OBSERVED, "closed": CLOSED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What N rows say about T tasks."""

    labels_NT: NDArray[np.float32]
    """0 or 1."""
    maturity_NT: NDArray[np.int8]
    """OPEN (means nothing yet, or the row does not hold the task), OBSERVED or CLOSED."""


def targets_from_samples(samples: Sequence[Sample]) -> Targets:
    """Return labels and maturity of all items of all samples, in order."""
    total = sum(len(sample.item_ids) for sample in samples)
    labels = np.zeros((total, len(TASKS)), np.float32)
    maturity = np.zeros((total, len(TASKS)), np.int8)
    start = 0
    for sample in samples:
        end = start + len(sample.item_ids)
        for column, task in enumerate(TASKS):
            values = sample.labels.get(task)
            if values is not None:
                labels[start:end, column] = values
                maturity[start:end, column] = _CODE[sample.maturity.get(task, "open")]
        start = end
    return Targets(labels_NT=labels, maturity_NT=maturity)
