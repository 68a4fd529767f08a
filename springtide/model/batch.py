"""The one typed form of training data, from the sample topic to the loss. Shapes: B rows, T tasks, F dense features."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from springtide.contracts.errors import ShapeError
from springtide.contracts.tasks import TASKS
from springtide.model.dense_features import DENSE_FEATURES
from springtide.model.id_map import Rows
from springtide.model.inputs import FEATURES, RawColumns
from springtide.model.sequence import BEHAVIOUR, STEP_FEATURES, STEPS, padded_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """B rows ready for a network."""

    dense_BF: Tensor
    """float32 (B, F)."""
    sparse: KeyedJaggedTensor
    """Row numbers per feature of FEATURES, B bags each; with steps, also per one of STEP_FEATURES, and BEHAVIOUR."""
    labels_BT: Tensor
    """float32 (B, T), 0 or 1."""
    weights_BT: Tensor
    """float32 (B, T); 0 is masked: no loss, no gradient."""

    def __len__(self) -> int:
        return int(self.dense_BF.shape[0])

    @classmethod
    def empty(cls, size: int, *, steps: bool = False) -> "Batch":
        """Return `size` rows that teach nothing, for a rank with nothing to read: all masked, no ids."""
        keys = _keys(steps=steps)
        return cls(
            dense_BF=torch.zeros(size, len(DENSE_FEATURES)),
            sparse=KeyedJaggedTensor(
                keys=keys,
                values=torch.zeros(0, dtype=torch.int64),
                lengths=torch.zeros(size * len(keys), dtype=torch.int64),
            ),
            labels_BT=torch.zeros(size, len(TASKS)),
            weights_BT=torch.zeros(size, len(TASKS)),
        )


def make_batch(
    columns: RawColumns,
    rows_by_feature: Mapping[str, Rows],
    labels_NT: NDArray[np.float32] | None = None,
    weights_NT: NDArray[np.float32] | None = None,
    size: int | None = None,
    *,
    steps: bool = False,
) -> Batch:
    """Return a batch of the N rows.

    Args:
        columns: N rows.
        rows_by_feature: what `lookup_columns` or `observe_columns` returned.
        labels_NT: 0 or 1; none means 0.
        weights_NT: 0 is masked; none means all masked.
        size: pad with rows that teach nothing up to this many, so that all ranks step alike.
        steps: give the history one by one too, for a model that `reads_steps`.

    Raises:
        ShapeError: arrays do not fit, or N exceeds `size`.
    """
    rows = len(columns)
    size = rows if size is None else size
    if rows > size:
        raise ShapeError(f"make_batch: expected at most {size} rows, got {rows}; split them")
    keys = _keys(steps=steps)
    values, lengths = [], np.zeros((len(keys), size), np.int64)
    for index, feature in enumerate(FEATURES):
        feature_rows = rows_by_feature[feature.name]
        if feature.name == "history":
            feature_rows, lengths[index, :rows] = _spread(feature_rows, columns)
        else:
            lengths[index, :rows] = 1
            feature_rows = feature_rows[columns.slate_N] if feature.per_slate else feature_rows
            if len(feature_rows) != rows:
                raise ShapeError(f"make_batch: expected {rows} rows of {feature.name}, got {len(feature_rows)}")
        values.append(feature_rows)
    if steps:
        rows_LN = padded_steps(rows_by_feature["history"], columns.history_lengths_S)[columns.slate_N].T
        told_LN = np.arange(STEPS)[:, None] < columns.history_lengths_S[columns.slate_N]
        lengths[len(FEATURES) : -1, :rows] = told_LN
        codes, lengths[-1, :rows] = _spread(columns.behaviours, columns)
        values += [rows_LN[told_LN], codes]
    return Batch(
        dense_BF=_padded(columns.dense_NF, size, len(DENSE_FEATURES)),
        sparse=KeyedJaggedTensor(
            keys=keys,
            values=torch.from_numpy(np.concatenate(values)),
            lengths=torch.from_numpy(lengths.reshape(-1)),
        ),
        labels_BT=_padded(labels_NT, size, len(TASKS)),
        weights_BT=_padded(weights_NT, size, len(TASKS)),
    )


def _keys(*, steps: bool) -> list[str]:
    return [feature.name for feature in FEATURES] + ([*STEP_FEATURES, BEHAVIOUR] if steps else [])


def _spread(rows: Rows, columns: RawColumns) -> tuple[Rows, Rows]:
    """Repeat what is told of each slate's history for each of its rows; returns flat rows and their lengths (N,)."""
    lengths_S = columns.history_lengths_S
    starts_S = np.cumsum(lengths_S) - lengths_S
    lengths_N = lengths_S[columns.slate_N]
    ends_N = np.cumsum(lengths_N)
    total = int(ends_N[-1]) if len(ends_N) else 0
    shift_N = starts_S[columns.slate_N] - (ends_N - lengths_N)
    return rows[np.arange(total) + np.repeat(shift_N, lengths_N)], lengths_N


def _padded(values: NDArray[np.float32] | None, size: int, width: int) -> Tensor:
    if values is not None and len(values) == size and values.shape == (size, width):
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))
    padded = torch.zeros(size, width)
    if values is not None:
        if values.shape[1:] != (width,) or len(values) > size:
            raise ShapeError(f"make_batch: expected at most ({size}, {width}), got {values.shape}; check the columns")
        padded[: len(values)] = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return padded
