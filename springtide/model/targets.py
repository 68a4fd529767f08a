"""Samples to labels and what they are worth, row by row like `columns_from_samples`. Shapes: N rows, T tasks.

Sampled negatives. Where `negative_keep` = r is below 1, a row of the joiner holds every item with a label of any task,
and of the items without any a share r, chosen by a hash that knows nothing of them. An item's chance to be kept is so
c = 1 with a label, r without, and known. Weighted by 1 / c, a sum over kept rows is in expectation the sum over all
rows (Horvitz and Thompson 1952), for any loss, task and method, and for every quality figure that is a sum. Shifting
log odds by ln r instead is exact only where keeping depends on the very label that is predicted: the purchase label
of an item that was clicked is kept with chance 1 when it is 0, so no one shift is right for it, and none for a product
of probabilities. So the weight is taken, for learning and for evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.samples import Phase, Sample
from springtide.contracts.tasks import TASKS

OPEN, OBSERVED, CLOSED = 0, 1, 2
_CODE: Final = {"open": OPEN, "observed": OBSERVED, "closed": CLOSED}

WHOLE, CORRECTED, FINAL = 0, 1, 2
_PHASE: Final[dict[Phase, int]] = {"corrected": CORRECTED, "final": FINAL}


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What N rows say about T tasks."""

    labels_NT: NDArray[np.float32]
    """0 or 1."""
    maturity_NT: NDArray[np.int8]
    """OPEN (means nothing yet, or the row does not hold the task), OBSERVED or CLOSED."""
    phase_N: NDArray[np.int8]
    """WHOLE (an observed row, or another of all items), CORRECTED or FINAL."""
    told_NT: NDArray[np.bool_]
    """Labels of final rows that came after the observed row, so that a corrected row has told them."""
    sampling_N: NDArray[np.float32]
    """Inverse of each row's chance to be kept; 1 where all are."""
    price_N: NDArray[np.float32]
    """The item's price when it was shown, in the shop's currency; 0 where the row does not tell."""


def targets_from_samples(samples: Sequence[Sample], observed_age_ms: int | None = None) -> Targets:
    """Return what all items of all samples say, in order.

    Args:
        samples: of any phase.
        observed_age_ms: age at which observed rows are due, to find what corrected rows told; none: nothing was told.
    """
    total = sum(len(sample.item_ids) for sample in samples)
    labels = np.zeros((total, len(TASKS)), np.float32)
    maturity = np.zeros((total, len(TASKS)), np.int8)
    phase = np.zeros(total, np.int8)
    told = np.zeros((total, len(TASKS)), np.bool_)
    sampling = np.ones(total, np.float32)
    price = np.zeros(total, np.float32)
    start = 0
    for sample in samples:
        end = start + len(sample.item_ids)
        for column, task in enumerate(TASKS):
            values = sample.labels.get(task)
            if values is not None:
                labels[start:end, column] = values
                maturity[start:end, column] = _CODE[sample.maturity.get(task, "open")]
        phase[start:end] = _PHASE.get(sample.phase, WHOLE)
        if observed_age_ms is not None and sample.phase == "final":
            told[start:end] = _told(sample, observed_age_ms)
        if sample.features is not None:
            price[start:end] = sample.features.item.get("price", 0.0)
        if sample.negative_keep < 1.0:
            sampling[start:end] = np.where(labels[start:end].any(axis=1), 1.0, 1.0 / sample.negative_keep)
        start = end
    return Targets(
        labels_NT=labels, maturity_NT=maturity, phase_N=phase, told_NT=told, sampling_N=sampling, price_N=price
    )


def _told(sample: Sample, observed_age_ms: int) -> NDArray[np.bool_]:
    """Return which labels came after the observed row, (N, T)."""
    never = [-1] * len(sample.item_ids)
    delays_NT = np.array([sample.delays_ms.get(task, never) for task in TASKS], np.int64).T
    told: NDArray[np.bool_] = delays_NT > observed_age_ms
    return told
