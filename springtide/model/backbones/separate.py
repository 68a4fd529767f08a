"""No sharing above the embeddings: a trunk per head. Shapes: B rows, K heads, H units."""

from torch import Tensor, nn

from springtide.model.config import ModelConfig
from springtide.model.parallel_layers import ParallelLayers


class Separate(nn.Module):
    """f_k has parameters of its own; only the embeddings are shared (ESMM, Ma et al. 2018)."""

    def __init__(self, inputs: int, heads: int, config: ModelConfig) -> None:
        super().__init__()
        self.bottoms = ParallelLayers(inputs, heads, config.expert_units)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H)."""
        output: Tensor = self.bottoms(inputs_BI)
        return output
