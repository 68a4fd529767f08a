"""Head logits to one probability per task, over the disjoint paths of a behaviour graph.

Each task's event is a set of disjoint paths, each a product of head outcomes, and so is its complement; both log p and
log(1-p) are therefore sums of log-sigmoids: exact where 1 - p would cancel, and never 0 or NaN.
Shapes: B rows, K heads, T tasks.
"""

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from springtide.contracts.tasks import TASKS
from springtide.model.behaviour_graph import BehaviourGraph


class LogProbabilities(NamedTuple):
    """What a network says of each row and task."""

    logp_BT: Tensor
    """log p per impression, T in the order of TASKS; never above 0."""
    log1mp_BT: Tensor
    """log(1 - p)."""


class Composition(nn.Module):
    """Head logits to log probabilities per task, in log space."""

    paths_LP: Tensor
    members_2TM: Tensor
    happens_PT: Tensor
    supervised_2T: Tensor

    def __init__(self, graph: BehaviourGraph) -> None:
        super().__init__()
        sign = {"+": 0, "-": len(graph.heads)}
        events = [graph.happens[task] for task in TASKS] + [graph.fails[task] for task in TASKS]
        paths = [path for event in events for path in event]
        incidence = torch.zeros(2 * len(graph.heads), len(paths))
        for column, path in enumerate(paths):
            for literal in path:
                incidence[sign[literal[0]] + graph.heads.index(literal[1:]), column] = 1.0
        most = max(len(event) for event in events)
        ends = accumulate(len(event) for event in events)
        members = [  # padded with the impossible path that forward appends
            [*range(end - len(event), end)] + [len(paths)] * (most - len(event))
            for event, end in zip(events, ends, strict=True)
        ]
        self.register_buffer("paths_LP", incidence, persistent=False)
        happens = torch.zeros(sum(len(graph.happens[task]) for task in TASKS), len(TASKS))
        for task, event in enumerate(members[: len(TASKS)]):
            happens[[path for path in event if path < len(paths)], task] = 1.0
        self.register_buffer("members_2TM", torch.tensor(members), persistent=False)
        self.register_buffer("happens_PT", happens, persistent=False)
        supervised = torch.tensor([task in graph.supervised for task in TASKS] * 2)
        self.register_buffer("supervised_2T", supervised, persistent=False)
        self.all_supervised = bool(supervised.all())

    def forward(self, logits_BK: Tensor) -> LogProbabilities:
        """Return log p and log(1 - p) per task for head logits (B, K)."""
        literals_BL = functional.logsigmoid(torch.cat([logits_BK, -logits_BK], dim=1))
        paths_BP = functional.pad(literals_BL @ self.paths_LP, (0, 1), value=-torch.inf)
        both_B2T = paths_BP[:, self.members_2TM].logsumexp(dim=2).clamp(max=0.0)  # rounding may pass 0
        tasks = len(TASKS)
        if not self.all_supervised:  # a product without a loss has its value, but no gradient
            both_B2T = torch.where(self.supervised_2T, both_B2T, both_B2T.detach())
        return LogProbabilities(both_B2T[:, :tasks], both_B2T[:, tasks:])

    def probabilities(self, logits_BK: Tensor) -> Tensor:
        """Return p per task, (B, T): faster than `forward` and equal to exp(logp_BT), for serving."""
        literals_BL = functional.logsigmoid(torch.cat([logits_BK, -logits_BK], dim=1))
        return ((literals_BL @ self.paths_LP[:, : len(self.happens_PT)]).exp() @ self.happens_PT).clamp(max=1.0)
