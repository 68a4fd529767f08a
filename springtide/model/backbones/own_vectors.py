"""A model per head: each reads a share of every embedding vector that no other head reads, with a trunk of its own.

The vectors' D numbers are dealt out to the K heads, D / K each, the first ones one more where it does not divide. What
is left in common are ids, admission, and the step size of a row, which row-wise Adagrad keeps for the whole vector.
Shapes: B rows, I inputs, D embedding width, K heads, H units.
"""

import torch
from torch import Tensor, nn

from springtide.model.config import ModelConfig
from springtide.model.dense_features import DENSE_FEATURES
from springtide.model.parallel_layers import EachLayers


def own_shares(heads: int, dim: int) -> Tensor:
    """Return 1 where a head reads a number of a vector, else 0, float32 (K, D)."""
    shares_KD = torch.zeros(heads, dim)
    for head, numbers in enumerate(torch.arange(dim).tensor_split(heads)):
        shares_KD[head, numbers] = 1.0
    return shares_KD


class OwnVectors(nn.Module):
    """Trunks that see their own share of the vectors and all dense features."""

    inputs_KI: Tensor

    def __init__(self, inputs: int, heads: int, config: ModelConfig) -> None:
        super().__init__()
        vectors = (inputs - len(DENSE_FEATURES)) // config.embedding_dim
        shares_KV = own_shares(heads, config.embedding_dim).repeat(1, vectors)
        inputs_KI = torch.cat([shares_KV, torch.ones(heads, len(DENSE_FEATURES))], dim=1)
        self.register_buffer("inputs_KI", inputs_KI, persistent=False)
        self.bottoms = EachLayers(heads, inputs, config.expert_units)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H)."""
        output: Tensor = self.bottoms(inputs_BI.unsqueeze(1) * self.inputs_KI)
        return output
