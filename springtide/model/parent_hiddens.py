"""Hidden vectors passed along the behaviour graph (DBMTL, Wang et al. 2019). Shapes: B rows, K heads, H units.

A Bayesian network of targets factors into conditionals, P(t_1 .. t_n | x) = prod_k P(t_k | parents of t_k, x). The
conditioning is learned: a child's tower reads the hidden vectors of its parents' towers beside its own,

    h~_k = relu(W_k [h_k, h~_p for each head p of its parents] + b_k)

and the graph multiplies the conditional probabilities, as for every preset.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from springtide.model.behaviour_graph import BehaviourGraph


class ParentHiddens(nn.Module):
    """Each child's hidden vector made of its own and its parents'."""

    def __init__(self, graph: BehaviourGraph, units: int) -> None:
        super().__init__()
        parents = [graph.parent_heads(head) for head in range(len(graph.heads))]
        self.sources = [(head, *ones) for head, ones in enumerate(parents) if ones]
        self.layers = nn.ModuleList(nn.Linear(len(heads) * units, units) for heads in self.sources)

    def forward(self, hidden_BKH: Tensor) -> Tensor:
        """Return (B, K, H); heads without parents stay as they are."""
        hidden = list(hidden_BKH.unbind(dim=1))
        for heads, layer in zip(self.sources, self.layers, strict=True):  # parents come before their children
            hidden[heads[0]] = functional.relu(layer(torch.cat([hidden[head] for head in heads], dim=1)))
        return torch.stack(hidden, dim=1)
