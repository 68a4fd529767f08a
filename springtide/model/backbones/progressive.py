"""Progressive layered extraction (PLE, Tang et al. 2020): experts of each head beside shared ones, in layers.

A CGC layer gives head k the mixture of its own m_k experts and the m_s shared ones,

    g_k = w_k(x_k) S_k,   S_k = [E_(k,1) .. E_(k,m_k), E_(s,1) .. E_(s,m_s)],   w_k(x) = softmax(W_k x)

and, below the last layer, the shared stream the mixture of all experts, g_s = w_s(x_s) S_s. Each layer's experts and
gate of a stream read that stream of the layer beneath: x_k = g_k; in the first layer all read the inputs. Another
head's experts are never mixed into g_k, which is what keeps heads that disagree from pulling at each other.
Shapes: B rows, S streams (K heads, then the shared one), P experts, m experts that a head sees, H units.
"""

import torch
from torch import Tensor, nn

from springtide.model.backbones.gates import make_gate
from springtide.model.config import ModelConfig
from springtide.model.parallel_layers import EachLayers


class ProgressiveLayers(nn.Module):
    """CGC layers; `own_experts` per head, `experts` shared ones."""

    def __init__(self, inputs: int, heads: int, config: ModelConfig) -> None:
        super().__init__()
        self.heads = heads
        widths = [inputs] + [config.expert_units[-1]] * (config.expert_layers - 1)
        self.layers = nn.ModuleList(
            CgcLayer(width, heads, config, first=number == 0, last=number == config.expert_layers - 1)
            for number, width in enumerate(widths)
        )

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return (B, K, H)."""
        streams_BSI = inputs_BI.unsqueeze(1).expand(-1, self.heads + 1, -1)
        for layer in self.layers:
            streams_BSI = layer(streams_BSI)
        return streams_BSI


class CgcLayer(nn.Module):
    """One layer: (B, K + 1, I) to (B, K + 1, H), the last to (B, K, H)."""

    stream_P: Tensor
    seen_KM: Tensor

    def __init__(self, inputs: int, heads: int, config: ModelConfig, *, first: bool, last: bool) -> None:
        super().__init__()
        own, shared = config.own_experts, config.experts
        units = config.expert_units if first else config.expert_units[-1:]
        streams = [head for head in range(heads) for _ in range(own)] + [heads] * shared
        seen = [[*range(head * own, (head + 1) * own), *range(heads * own, len(streams))] for head in range(heads)]
        self.experts = EachLayers(len(streams), inputs, units)
        self.gates = nn.ModuleList(make_gate(inputs, [f"head {head}"], own + shared, config) for head in range(heads))
        self.shared_gate = None if last else make_gate(inputs, ["shared"], len(streams), config)
        self.register_buffer("stream_P", torch.tensor(streams), persistent=False)
        self.register_buffer("seen_KM", torch.tensor(seen), persistent=False)

    def forward(self, streams_BSI: Tensor) -> Tensor:
        """Return each stream's mixture."""
        experts_BPH: Tensor = self.experts(streams_BSI[:, self.stream_P])
        mixtures = [
            torch.bmm(gate(streams_BSI[:, head]), experts_BPH[:, self.seen_KM[head]])
            for head, gate in enumerate(self.gates)
        ]
        if self.shared_gate is not None:
            mixtures.append(torch.bmm(self.shared_gate(streams_BSI[:, -1]), experts_BPH))
        return torch.cat(mixtures, dim=1)
