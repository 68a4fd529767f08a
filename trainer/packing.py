"""Samples into batches: whole slates, in order, at most so many item rows each."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from springtide.contracts.errors import ShapeError
from springtide.contracts.samples import Sample


def pack(samples: Iterable[Sample], batch_rows: int) -> Iterator[list[Sample]]:
    """Yield batches of whole slates; every batch but the last is as full as the next slate allows.

    Raises:
        ShapeError: one slate has more items than a batch may have rows.
    """
    batch: list[Sample] = []
    rows = 0
    for sample in samples:
        size = len(sample.item_ids)
        if size > batch_rows:
            raise ShapeError(
                f"trainer.batch_rows: expected at least a slate's {size} items, got {batch_rows}; raise it"
            )
        if rows + size > batch_rows:
            yield batch
            batch, rows = [], 0
        batch.append(sample)
        rows += size
    if batch:
        yield batch


def shuffled(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Return the slates in an order that depends on their row ids and the seed alone, not on how they arrived."""
    ordered = sorted(samples, key=lambda sample: sample.row_id)
    order = np.random.default_rng(seed).permutation(len(ordered))
    return [ordered[index] for index in order.tolist()]
