"""A model state that scores, on the CPU, without TorchRec. Shapes: N rows, S slates, T tasks, D embedding width."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from springtide.model.config import ModelConfig
from springtide.model.dense_network import DenseNetwork
from springtide.model.id_map import IdMap, Rows
from springtide.model.inputs import FEATURES, RawColumns, lookup_columns
from springtide.model.state import ModelState


class Scorer:
    """Reads a state, never changes it; safe to use from one thread while another state is being loaded."""

    def __init__(self, state: ModelState) -> None:
        self.state = state
        self._ids: Mapping[str, IdMap] = state.ids
        self._scores = TableScorer(state.config, state.dense, state.tables)

    def score(self, columns: RawColumns) -> NDArray[np.float32]:
        """Return the probability per impression of each row and task, float32 (N, T)."""
        return self._scores.score_rows(columns, lookup_columns(columns, self._ids))


class TableScorer:
    """The same for ids that are rows already."""

    def __init__(self, config: ModelConfig, dense: Mapping[str, Tensor], tables: Mapping[str, Tensor]) -> None:
        self._tables = tables
        self._network = DenseNetwork(config)
        self._network.load_state_dict(dict(dense))
        self._network.eval().requires_grad_(requires_grad=False)

    @torch.inference_mode()
    def score_rows(self, columns: RawColumns, rows_by_feature: Mapping[str, Rows]) -> NDArray[np.float32]:
        """Return float32 (N, T) for rows as `lookup_columns` gives them."""
        slate_N = torch.from_numpy(columns.slate_N)
        pooled = [self._pooled(name, columns, rows_by_feature[name], slate_N) for name in _NAMES]
        output = self._network(torch.from_numpy(columns.dense_NF), torch.cat(pooled, dim=1))
        scores: NDArray[np.float32] = output.logp_BT.exp().numpy()
        return scores

    def _pooled(self, name: str, columns: RawColumns, rows: Rows, slate_N: Tensor) -> Tensor:
        """Return a feature's vector per row, (N, D)."""
        table = self._tables[_TABLE_OF[name]]
        if name == "history":
            ends_S = np.cumsum(columns.history_lengths_S)
            starts_S = torch.from_numpy(ends_S - columns.history_lengths_S)
            pooled_SD = functional.embedding_bag(torch.from_numpy(rows), table, starts_S, mode="mean")
            return pooled_SD[slate_N]
        vectors = functional.embedding(torch.from_numpy(rows), table)
        return vectors[slate_N] if name in _PER_SLATE else vectors


_NAMES = [feature.name for feature in FEATURES]
_TABLE_OF = {feature.name: feature.table for feature in FEATURES}
_PER_SLATE = {feature.name for feature in FEATURES if feature.per_slate}
