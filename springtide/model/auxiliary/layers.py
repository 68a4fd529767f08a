"""Layers whose last one is a hyperbolic tangent, as DeepMCP's representations are. Shapes: X any, I inputs, H units."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def tanh_layers(inputs: int, units: Sequence[int]) -> nn.Sequential:
    """Return ReLU layers with a tanh at the end, (X, I) to (X, H): products of two stay within [-H, H]."""
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *units)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Tanh())
