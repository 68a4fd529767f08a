"""Cross-stitch: trunks whose hidden layers are learned combinations of all trunks' (Misra et al. 2016).

    x~_k = sum_j alpha_kj x_j        after every hidden layer, one K x K matrix alpha per layer

alpha starts with OWN on its diagonal and the rest spread evenly: near separate trunks, as the paper advises.
Shapes: B rows, K heads, H units.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from springtide.model.config import ModelConfig
from springtide.model.parallel_layers import EachLinear

OWN = 0.9
"""Share of its own trunk in a head's first combination."""


class CrossStitch(nn.Module):
    """A trunk per head, stitched together after each layer."""

    def __init__(self, inputs: int, heads: int, config: ModelConfig) -> None:
        super().__init__()
        units = config.expert_units
        self.heads, self.units = heads, units[0]
        self.first = nn.Linear(inputs, heads * units[0])
        self.rest = nn.ModuleList(
            EachLinear(heads, before, after) for before, after in zip(units, units[1:], strict=False)
        )
        self.stitches = nn.ParameterList(_first_stitch(heads) for _ in units)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H)."""
        hidden_BKH = functional.relu(self.first(inputs_BI)).view(len(inputs_BI), self.heads, self.units)
        hidden_BKH = torch.matmul(self.stitches[0], hidden_BKH)
        for layer, stitch_KK in zip(self.rest, self.stitches[1:], strict=True):
            hidden_BKH = torch.matmul(stitch_KK, functional.relu(layer(hidden_BKH)))
        return hidden_BKH


def _first_stitch(heads: int) -> nn.Parameter:
    if heads == 1:
        return nn.Parameter(torch.ones(1, 1))
    stitch_KK = torch.full((heads, heads), (1.0 - OWN) / (heads - 1))
    return nn.Parameter(stitch_KK.fill_diagonal_(OWN))
