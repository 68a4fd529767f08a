"""Logistic regression of a stream whose rows come once: an extended Kalman filter with a memory.

The log-odds of a row are o + w x, with a known o. For n new rows of labels y, with q the probability given now and H
the precision of w (West and Harrison 1997, ch. 14),

    H <- H + sum q (1 - q) x x'        w <- w + H^-1 sum (y - q) x

Before, H is drawn towards its start by a share of 1 - exp(-n / MEMORY), so that what is older than about MEMORY rows
fades. The curvature is the whole matrix, so no learning rate is left to choose and inputs may be correlated. level.py
does the same for a single number. Shapes: B rows, T tasks, D inputs.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

FIRST_PRECISION: Final = 4.0
"""H before any row: log-odds differ from o by some 0.5 per unit of an input."""
MEMORY: Final = 20_000.0
"""Rows after which evidence counts for about a third."""
LARGEST_STEP: Final = 1.0
"""Of a weight at once: where q is near 0 or 1 the curvature is next to none, and a step by it alone would overshoot."""


class Evidence(NamedTuple):
    """What rows say; sums, so that evidence of several ranks adds up."""

    slope_DT: Tensor
    """sum (y - q) x."""
    curvature_TDD: Tensor
    """sum q (1 - q) x x'."""
    rows_T: Tensor
    """n."""


class LogisticFilter(nn.Module):
    """w and H per task; buffers, so that they travel in checkpoints."""

    weights_DT: Tensor
    precision_TDD: Tensor

    def __init__(self, inputs: int, tasks: int) -> None:
        super().__init__()
        self.register_buffer("weights_DT", torch.zeros(inputs, tasks))
        self.register_buffer("precision_TDD", FIRST_PRECISION * torch.eye(inputs).repeat(tasks, 1, 1))

    def forward(self, inputs_BD: Tensor, known_BT: Tensor) -> Tensor:
        """Return q, (B, T), of inputs of about unit scale, one of them 1, and the known log-odds o, (B, T) or (T,)."""
        q_BT: Tensor = torch.sigmoid(known_BT + inputs_BD @ self.weights_DT)
        return q_BT

    def nothing(self) -> Evidence:
        """Return the evidence of no rows."""
        tasks = self.weights_DT.shape[1]
        return Evidence(torch.zeros_like(self.weights_DT), torch.zeros_like(self.precision_TDD), torch.zeros(tasks))

    @torch.no_grad()
    def follow(self, evidence: Evidence) -> None:
        """Take evidence in, of the q given now."""
        keep_T11 = torch.exp(-evidence.rows_T / MEMORY).view(-1, 1, 1)
        first_DD = FIRST_PRECISION * torch.eye(self.weights_DT.shape[0])
        self.precision_TDD.mul_(keep_T11).add_((1.0 - keep_T11) * first_DD + evidence.curvature_TDD)
        step_TD1 = torch.linalg.solve(self.precision_TDD, evidence.slope_DT.T.unsqueeze(2))
        self.weights_DT += step_TD1.squeeze(2).T.clamp(-LARGEST_STEP, LARGEST_STEP)


@torch.no_grad()
def evidence_of(inputs_BD: Tensor, labels_BT: Tensor, q_BT: Tensor, weights_BT: Tensor) -> Evidence:
    """Return what rows say; a weight of 0 leaves one out, of 2 counts it twice."""
    curvature_BT = weights_BT * q_BT * (1.0 - q_BT)
    return Evidence(
        slope_DT=inputs_BD.T @ (weights_BT * (labels_BT - q_BT)),
        curvature_TDD=(curvature_BT.T.unsqueeze(2) * inputs_BD).transpose(1, 2) @ inputs_BD,
        rows_T=weights_BT.sum(dim=0),
    )
