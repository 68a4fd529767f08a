"""Backbones: what the heads share between the inputs and their towers. Shapes: B rows, K heads, E experts, H units."""

import torch
from torch import Tensor, nn

from springtide.model.config import ModelConfig
from springtide.model.parallel_layers import ParallelLayers


class SharedBottom(nn.Module):
    """One trunk for all heads (Caruana 1997)."""

    def __init__(self, inputs: int, heads: int, config: ModelConfig) -> None:
        super().__init__()
        self.heads = heads
        self.bottom = ParallelLayers(inputs, 1, config.expert_units)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H), the same for every head."""
        bottom_B1H: Tensor = self.bottom(inputs_BI)
        return bottom_B1H.expand(-1, self.heads, -1)


class Separate(nn.Module):
    """A trunk per head; only the embeddings are shared (ESMM, Ma et al. 2018)."""

    def __init__(self, inputs: int, heads: int, config: ModelConfig) -> None:
        super().__init__()
        self.bottoms = ParallelLayers(inputs, heads, config.expert_units)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H)."""
        output: Tensor = self.bottoms(inputs_BI)
        return output


class MixtureOfExperts(nn.Module):
    """Experts mixed by a softmax gate per head (MMoE, Ma et al. 2018) or by one gate for all (OMoE).

    Gate dropout sets gate weights to 0 in training and rescales the rest, against expert collapse (Zhao et al. 2019).
    """

    def __init__(self, inputs: int, heads: int, config: ModelConfig, *, one_gate: bool) -> None:
        super().__init__()
        self.heads, self.experts_count = heads, config.experts
        self.gates_count = 1 if one_gate else heads
        self.dropout = config.gate_dropout
        self.experts = ParallelLayers(inputs, config.experts, config.expert_units)
        self.gate = nn.Linear(inputs, self.gates_count * config.experts, bias=False)

    def gates(self, inputs_BI: Tensor) -> Tensor:
        """Return the weights of the experts per gate, (B, G, E), each row adding up to 1."""
        logits_BGE: Tensor = self.gate(inputs_BI).view(len(inputs_BI), self.gates_count, self.experts_count)
        if self.training and self.dropout > 0.0:
            dropped = torch.rand_like(logits_BGE) < self.dropout
            dropped &= ~dropped.all(dim=2, keepdim=True)  # at least one expert stays
            logits_BGE = logits_BGE.masked_fill(dropped, -torch.inf)
        return logits_BGE.softmax(dim=2)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H)."""
        mixed_BGH = torch.bmm(self.gates(inputs_BI), self.experts(inputs_BI))
        return mixed_BGH.expand(-1, self.heads, -1)


def build_backbone(config: ModelConfig, inputs: int, heads: int) -> nn.Module:
    """Return the backbone that the configuration names."""
    if config.backbone == "shared-bottom":
        return SharedBottom(inputs, heads, config)
    if config.backbone == "separate":
        return Separate(inputs, heads, config)
    return MixtureOfExperts(inputs, heads, config, one_gate=config.backbone == "omoe")
