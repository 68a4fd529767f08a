"""Hard sharing: one trunk for all heads. Shapes: B rows, K heads, H units."""

from torch import Tensor, nn

from springtide.model.config import ModelConfig
from springtide.model.parallel_layers import ParallelLayers


class SharedBottom(nn.Module):
    """f_k(x) = f(x) for every head k (Caruana 1997)."""

    def __init__(self, inputs: int, heads: int, config: ModelConfig) -> None:
        super().__init__()
        self.heads = heads
        self.bottom = ParallelLayers(inputs, 1, config.expert_units)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H), the same for every head."""
        bottom_B1H: Tensor = self.bottom(inputs_BI)
        return bottom_B1H.expand(-1, self.heads, -1)
