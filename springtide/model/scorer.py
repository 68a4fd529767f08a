"""A model state that scores, on the CPU, without TorchRec. Shapes: N rows, S slates, T tasks, D embedding width."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from springtide.model.config import ModelConfig
from springtide.model.dense_network import DenseNetwork
from springtide.model.id_map import IdMap, Rows
from springtide.model.inputs import FEATURES, RawColumns, lookup_columns
from springtide.model.sequence import Behaviours, padded_steps
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
    """The same for ids that are rows already. Looks up in numpy, whose calls cost less than torch's for a few rows."""

    def __init__(self, config: ModelConfig, dense: Mapping[str, Tensor], tables: Mapping[str, Tensor]) -> None:
        self._dim = config.embedding_dim
        self._tables = {name: table.detach().numpy() for name, table in tables.items()}
        self._network = DenseNetwork(config)
        self._network.load_state_dict(dict(dense))
        self._network.eval().requires_grad_(requires_grad=False)

    def score_rows(self, columns: RawColumns, rows_by_feature: Mapping[str, Rows]) -> NDArray[np.float32]:
        """Return float32 (N, T) for rows as `lookup_columns` gives them."""
        pooled_ND = np.empty((len(columns), len(FEATURES) * self._dim), np.float32)
        for index, feature in enumerate(FEATURES):
            table, rows = self._tables[feature.table], rows_by_feature[feature.name]
            vectors = _means(table, rows, columns.history_lengths_S) if feature.name == "history" else table[rows]
            if feature.per_slate and len(vectors) != 1:  # the vector of a single slate is broadcast
                vectors = vectors[columns.slate_N]
            pooled_ND[:, index * self._dim : (index + 1) * self._dim] = vectors
        with torch.inference_mode():
            scores_NT = self._network.probabilities(
                torch.from_numpy(columns.dense_NF),
                torch.from_numpy(pooled_ND),
                self._user_vectors(columns, rows_by_feature, torch.from_numpy(pooled_ND)),
            )
        result: NDArray[np.float32] = scores_NT.numpy()
        return result

    def _user_vectors(self, columns: RawColumns, rows: Mapping[str, Rows], pooled_ND: Tensor) -> Tensor | None:
        """Return the encoder's vector of each row's user, (N, U): once per slate; None without an encoder."""
        if self._network.user_encoder is None:
            return None
        slates, firsts, slate_of_N = np.unique(columns.slate_N, return_index=True, return_inverse=True)
        rows_SL = padded_steps(rows["history"], columns.history_lengths_S)[slates]
        codes_SL = padded_steps(columns.behaviours, columns.history_lengths_S)[slates]
        vectors_SLD = self._tables["item"][rows_SL] * (codes_SL > 0)[:, :, None]
        behaviours = Behaviours(*(torch.from_numpy(part) for part in (vectors_SLD, codes_SL, rows_SL)))
        user_SU = self._network.user_vectors(pooled_ND[torch.from_numpy(firsts)], behaviours)
        return None if user_SU is None else user_SU[torch.from_numpy(slate_of_N)]


def _means(table: NDArray[np.float32], rows: Rows, lengths_S: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the mean vector of each slate's rows, 0 for an empty one, (S, D)."""
    means_SD = np.zeros((len(lengths_S), table.shape[1]), np.float32)
    ends = np.cumsum(lengths_S).tolist()
    for index, (length, end) in enumerate(zip(lengths_S.tolist(), ends, strict=True)):
        if length:
            means_SD[index] = table[rows[end - length : end]].mean(axis=0)
    return means_SD
