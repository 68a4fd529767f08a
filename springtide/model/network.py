"""The whole network in the form that TorchRec's DistributedModelParallel shards: tables beside plain parameters."""

import torch
from torch import Tensor, nn
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from springtide.contracts.tasks import TASKS
from springtide.model.auxiliary import build_auxiliary
from springtide.model.config import ModelConfig
from springtide.model.dense_network import DenseNetwork
from springtide.model.embeddings import build_tables
from springtide.model.graph import LogProbabilities
from springtide.model.inputs import FEATURES
from springtide.model.sequence import BEHAVIOUR, STEP_FEATURES, STEPS, Behaviours

_KEYS = [feature.name for feature in FEATURES]


class RankingNetwork(nn.Module):
    """Embedding tables (`tables`, to be sharded), what is served above them (`dense`), and what only teaches.

    The last two are data parallel, and only `dense` goes into bundles beside the tables.
    """

    def __init__(self, config: ModelConfig, device: str) -> None:
        super().__init__()
        self.config = config
        self.tables = build_tables(config, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.dense = DenseNetwork(config)
            self.auxiliary = build_auxiliary(config)

    def forward(self, dense_BF: Tensor, sparse: KeyedJaggedTensor) -> LogProbabilities:
        """Return log p and log(1 - p) per row and task, (B, T) each."""
        pooled = self.tables(sparse)
        pooled_BD = torch.cat([pooled[key] for key in _KEYS], dim=1)
        behaviours = _behaviours(pooled, sparse) if self.config.reads_steps else None
        if self.auxiliary is not None and self.training:
            self.auxiliary(pooled_BD, behaviours)
        result: LogProbabilities = self.dense(dense_BF, pooled_BD, self.dense.user_vectors(pooled_BD, behaviours))
        return result

    def auxiliary_losses(self, labels_BT: Tensor, weights_BT: Tensor) -> Tensor:
        """Return what nets beside the served one add to each task's loss for the batch just learned from, (T,)."""
        if self.auxiliary is None:
            return torch.zeros(len(TASKS))
        return self.auxiliary.losses(labels_BT, weights_BT)


def _behaviours(pooled: dict[str, Tensor], sparse: KeyedJaggedTensor) -> Behaviours:
    """Put each step's vector, code and row side by side."""
    vectors_BLD = torch.stack([pooled[step] for step in STEP_FEATURES], dim=1)
    codes_BL, rows_BL = (sparse[key].to_padded_dense(STEPS) for key in (BEHAVIOUR, "history"))
    return Behaviours(vectors_BLD=vectors_BLD, codes_BL=codes_BL.long(), rows_BL=rows_BL.long())


def build_network(config: ModelConfig, device: str = "cpu") -> RankingNetwork:
    """Return the configured network; `device` places the tables alone.

    On `meta` the tables have no storage and are left to the sharder, which fills them from `initial_table`; the dense
    part is small and always real.
    """
    return RankingNetwork(config, device)
