"""Mixtures of experts, one layer or several. Shapes: B rows, G gates, K heads, E experts, H units."""

import torch
from torch import Tensor, nn

from springtide.model.backbones.gates import make_gate, reader_names
from springtide.model.config import ModelConfig
from springtide.model.parallel_layers import EachLayers, ParallelLayers


class MixtureOfExperts(nn.Module):
    """f_k(x) = sum_e g_k(x)_e f_e(x), with a gate g_k per head (MMoE, Ma et al. 2018) or one for all (OMoE)."""

    def __init__(self, inputs: int, heads: int, config: ModelConfig, *, one_gate: bool, reader: str = "head") -> None:
        super().__init__()
        self.heads = heads
        self.experts = ParallelLayers(inputs, config.experts, config.expert_units)
        self.gate = make_gate(inputs, reader_names(reader, heads, one_gate=one_gate), config.experts, config)

    def gates(self, inputs_BI: Tensor) -> Tensor:
        """Return the weights of the experts per gate, (B, G, E), each row adding up to 1."""
        weights_BGE: Tensor = self.gate(inputs_BI)
        return weights_BGE

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H)."""
        mixed_BGH = torch.bmm(self.gates(inputs_BI), self.experts(inputs_BI))
        return mixed_BGH.expand(-1, self.heads, -1)


class StackedExperts(nn.Module):
    """Layers of experts: each expert of a layer has a gate of its own over the experts beneath (ML-MMoE in Tang 2020).

    f_e(x) of layer l reads sum_i g_e(x)_i f_i(x) of layer l - 1; the heads' gates stand on the last layer. All gates
    read x. With one gate, all experts of a layer read the same mixture.
    """

    def __init__(self, inputs: int, heads: int, config: ModelConfig, *, one_gate: bool) -> None:
        super().__init__()
        experts, width, more = config.experts, config.expert_units[-1], config.expert_layers - 1
        self.first = MixtureOfExperts(inputs, experts, config, one_gate=one_gate, reader="expert")
        self.layers = nn.ModuleList(EachLayers(experts, width, (width,)) for _ in range(more))
        above = [("expert", experts)] * (more - 1) + [("head", heads)]
        self.counts = [count for _, count in above]
        self.gates = nn.ModuleList(
            make_gate(inputs, reader_names(kind, count, one_gate=one_gate), experts, config) for kind, count in above
        )

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H)."""
        hidden_BEH: Tensor = self.first(inputs_BI)
        for layer, gate, count in zip(self.layers, self.gates, self.counts, strict=True):
            hidden_BEH = torch.bmm(gate(inputs_BI), layer(hidden_BEH)).expand(-1, count, -1)
        return hidden_BEH
