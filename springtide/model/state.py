"""The model that is served or published: dense part, tables, ids. Never changed in place; a delta makes a new one."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from springtide.contracts.bundle import Manifest
from springtide.model.config import ModelConfig
from springtide.model.id_map import IdMap


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRows:
    """Some rows of an embedding table."""

    rows: Tensor
    """int64 (R,), ascending, each once."""
    vectors: Tensor
    """float32 (R, D)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelState:
    """A whole model at one version. Tables are shared between states that differ in other tables only."""

    manifest: Manifest
    """Of the newest bundle in it."""
    dense: Mapping[str, Tensor]
    """DenseNetwork.state_dict()."""
    tables: Mapping[str, Tensor]
    """float32 (capacity, D) per table."""
    ids: Mapping[str, IdMap]

    @property
    def config(self) -> ModelConfig:
        """The settings of the network."""
        return ModelConfig.from_dict(self.manifest.model_config)


def dense_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the dense part of a RankingNetwork, or of one wrapped for training, detached, by DenseNetwork's names."""
    return {
        name.removeprefix("dense."): tensor.detach().clone()
        for name, tensor in network.state_dict().items()
        if name.startswith("dense.")
    }


def whole_table(vectors: Tensor) -> TableRows:
    """Return all rows of a table, as a base holds them."""
    return TableRows(rows=torch.arange(len(vectors)), vectors=vectors)
