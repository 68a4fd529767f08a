"""The whole network in the form that TorchRec's DistributedModelParallel shards: tables beside plain parameters."""

import torch
from torch import Tensor, nn
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from springtide.model.config import ModelConfig
from springtide.model.dense_network import DenseNetwork
from springtide.model.embeddings import build_tables
from springtide.model.graph import LogProbabilities
from springtide.model.inputs import FEATURES

_KEYS = [feature.name for feature in FEATURES]


class RankingNetwork(nn.Module):
    """Embedding tables (`tables`, to be sharded) and everything above them (`dense`, data parallel)."""

    def __init__(self, config: ModelConfig, device: str) -> None:
        super().__init__()
        self.config = config
        self.tables = build_tables(config, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.dense = DenseNetwork(config)

    def forward(self, dense_BF: Tensor, sparse: KeyedJaggedTensor) -> LogProbabilities:
        """Return log p and log(1 - p) per row and task, (B, T) each."""
        pooled = self.tables(sparse)
        pooled_BD = torch.cat([pooled[key] for key in _KEYS], dim=1)
        result: LogProbabilities = self.dense(dense_BF, pooled_BD)
        return result


def build_network(config: ModelConfig, device: str = "cpu") -> RankingNetwork:
    """Return the configured network; `device` places the tables alone.

    On `meta` the tables have no storage and are left to the sharder, which fills them from `initial_table`; the dense
    part is small and always real.
    """
    return RankingNetwork(config, device)
