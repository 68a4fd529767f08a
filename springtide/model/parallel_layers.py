"""P equal networks side by side, their first layers as one matrix product. Shapes: B rows, P networks, H units."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ParallelLayers(nn.Module):
    """P networks of ReLU layers that read the same inputs: (B, I) to (B, P, H)."""

    def __init__(self, inputs: int, networks: int, units: Sequence[int]) -> None:
        super().__init__()
        self.networks, self.units = networks, units[0]
        self.first = nn.Linear(inputs, networks * units[0])
        self.rest = nn.ModuleList(
            EachLinear(networks, before, after) for before, after in zip(units, units[1:], strict=False)
        )

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return each network's last layer, (B, P, H)."""
        hidden_BPH = functional.relu(self.first(inputs_BI)).view(len(inputs_BI), self.networks, self.units)
        for layer in self.rest:
            hidden_BPH = functional.relu(layer(hidden_BPH))
        return hidden_BPH

    def per_network(self) -> list[Tensor]:
        """Return every parameter with the network as its first dimension."""
        first = [self.first.weight.view(self.networks, -1), self.first.bias.view(self.networks, -1)]
        return first + [part for layer in self.rest for part in layer.parameters()]


class EachLinear(nn.Module):
    """A linear layer of its own for each of P networks: (B, P, I) to (B, P, H)."""

    def __init__(self, networks: int, inputs: int, units: int) -> None:
        super().__init__()
        self.weight_PIH = nn.Parameter(torch.empty(networks, inputs, units))
        self.bias_PH = nn.Parameter(torch.empty(networks, units))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights as nn.Linear does: uniform within 1 / sqrt(inputs)."""
        bound = 1.0 / math.sqrt(self.weight_PIH.shape[1])
        nn.init.uniform_(self.weight_PIH, -bound, bound)
        nn.init.uniform_(self.bias_PH, -bound, bound)

    def forward(self, inputs_BPI: Tensor) -> Tensor:
        """Return (B, P, H)."""
        return torch.baddbmm(self.bias_PH.unsqueeze(1), inputs_BPI.transpose(0, 1), self.weight_PIH).transpose(0, 1)


class EachLayers(nn.Module):
    """P equal networks of ReLU layers, each with inputs of its own: (B, P, I) to (B, P, H)."""

    def __init__(self, networks: int, inputs: int, units: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EachLinear(networks, before, after) for before, after in zip((inputs, *units), units, strict=False)
        )

    def forward(self, hidden_BPH: Tensor) -> Tensor:
        """Return each network's last layer, (B, P, H)."""
        for layer in self.layers:
            hidden_BPH = functional.relu(layer(hidden_BPH))
        return hidden_BPH
