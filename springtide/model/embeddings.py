"""The embedding tables as TorchRec sees them: one mean-pooled bag per feature; history shares item_id's table.

So do the steps of a history, each a bag of its own, for a model that reads them one by one (sequence.py).
"""

import numpy as np
import torch
from torch import nn
from torchrec.modules.embedding_configs import EmbeddingBagConfig, PoolingType
from torchrec.modules.embedding_modules import EmbeddingBagCollection

from springtide.model.config import TABLES, ModelConfig
from springtide.model.initial import initial_vectors
from springtide.model.inputs import FEATURES
from springtide.model.sequence import STEP_FEATURES


def table_features(config: ModelConfig, table: str) -> list[str]:
    """Return the names of the features that read a table."""
    steps = STEP_FEATURES if config.reads_steps and table == "item" else ()
    return [*(feature.name for feature in FEATURES if feature.table == table), *steps]


def build_tables(config: ModelConfig, device: str = "cpu") -> nn.Module:
    """Return an EmbeddingBagCollection with first vectors by `initial_vectors` (on `meta`: none)."""
    tables = EmbeddingBagCollection(
        device=torch.device(device),
        tables=[
            EmbeddingBagConfig(
                name=table,
                embedding_dim=config.embedding_dim,
                num_embeddings=config.capacities[table],
                feature_names=table_features(config, table),
                pooling=PoolingType.MEAN,
            )
            for table in TABLES
        ],
    )
    if device != "meta":
        with torch.no_grad():
            for table, bag in tables.embedding_bags.items():
                bag.weight.copy_(initial_table(config, table))
    module: nn.Module = tables
    return module


def initial_table(config: ModelConfig, table: str) -> torch.Tensor:
    """Return a table's first vectors, float32 (capacity, D); for trainers that shard before they fill."""
    rows = np.arange(config.capacities[table])
    return torch.from_numpy(initial_vectors(table, rows, config.embedding_dim, config.seed))
