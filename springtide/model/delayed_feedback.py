"""Row weights that make a stream with late labels teach the final probabilities. Shapes: B rows, T tasks.

Setting. Each impression gives one `observed` row at its observation window, positive if its label came by then, and a
second, positive `corrected` row when the label comes later. Let p be the probability of a label within the
attribution window, F the share of labels that come within the observation window, independent of x for a task, and
p_dp = p (1 - F) the probability of a late one. Per impression the stream holds

    positives  p F + p (1 - F) = p           negatives  1 - p F           rows in all  1 + p_dp

so its positive share is p / (1 + p_dp), not p. ES-DFM (Yang et al. 2021) weights by importance, the true share over
the stream's share:

    w_pos = p / (p / (1 + p_dp))              = 1 + p_dp
    w_neg = (1 - p) / ((1 - p F) / (1 + p_dp)) = (1 + p_dp) (1 - p) / (1 - p F)

Then the weighted masses are p (1 + p_dp) and (1 - p) (1 + p_dp), and the log loss is least at p. The weights use the
model's own p without gradient; F comes from the delay curve. Tasks already closed when observed need no correction.
"""

from typing import Final, Literal

import torch
from torch import Tensor

from springtide.contracts.samples import Phase
from springtide.model.targets import CLOSED, OPEN

Method = Literal["es-dfm", "vanilla", "wait"]

PHASES: Final[dict[Method, tuple[Phase, ...]]] = {
    "es-dfm": ("observed", "corrected"),
    "vanilla": ("observed", "corrected"),
    "wait": ("final",),
}
"""The phases whose rows a method learns from; others must not be fed to it."""

LARGEST_P: Final = 0.999
"""The model's own p is clipped to this in the weights."""


def row_weights(method: Method, labels_BT: Tensor, maturity_BT: Tensor, p_BT: Tensor, arrived_T: Tensor) -> Tensor:
    """Return float32 weights (B, T); 0 masks.

    Args:
        method: `es-dfm` as above; `vanilla` believes every row; `wait` believes closed labels alone.
        labels_BT: 0 or 1.
        maturity_BT: codes of targets.py; OPEN is always masked.
        p_BT: the model's probability before it learns the row.
        arrived_T: F, the share of each task's labels that come within its observation window, 0 to 1.
    """
    if method == "wait":
        return (maturity_BT == CLOSED).to(torch.float32)
    known_BT = (maturity_BT != OPEN).to(torch.float32)
    if method == "vanilla":
        return known_BT
    p_BT = p_BT.detach().clamp(0.0, LARGEST_P)
    late_BT = p_BT * (1.0 - arrived_T)
    negative_BT = (1.0 - p_BT) / (1.0 - p_BT * arrived_T)
    weights_BT = (1.0 + late_BT) * torch.where(labels_BT > 0.5, torch.ones_like(p_BT), negative_BT)
    return torch.where(maturity_BT == CLOSED, torch.ones_like(p_BT), weights_BT) * known_BT
