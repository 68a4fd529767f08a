"""F of each row: the share of its labels that come within the observation window, learned while labels come.

One F for all is wrong where likely buyers, or what is dear, convert later: es_dfm.py and defer.py say by how much.
ES-DFM's paper (Yang et al. 2021) learns two networks on a log of closed labels, p_dp = p (1 - F) and
(1 - p) / (1 - p F). Both follow from p and F(x), and F(x) can be read off the stream itself. Of its positive rows at x

    p F    are observed,        p (1 - F)    are corrected,

so among positives the share of observed ones is F, whatever p is: a logistic regression of "observed" on x over the
positive rows has its optimum at F(x). It needs no log, no waiting and no p. It starts at the delay curve's F and learns
the log-odds' difference from it, s(x) = w x. Rows come once, so w is filtered as level.py does for a single number: an
extended Kalman filter (West and Harrison 1997, ch. 14), which for n new positives y at x reads, with H the precision,

    H <- H + sum F (1 - F) x x'        w <- w + H^-1 sum (y - F) x

Before, H is drawn towards its start by a share of n / MEMORY, so that what is older than about MEMORY labels fades.
The curvature is the whole matrix, so no learning rate is left to choose and inputs may be correlated.

A label that comes late is also counted late: where base rates rise, corrected rows speak for fewer impressions than
observed ones, and F comes out too high by that ratio. Shapes: B rows, T tasks, D inputs.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from springtide.model.delayed.rows import StreamRows
from springtide.model.targets import CORRECTED, FINAL, OPEN

FIRST_PRECISION: Final = 4.0
"""H before any label: log-odds differ from the delay curve's by some 0.5 per unit of an input."""
MEMORY: Final = 20_000.0
"""Labels after which evidence counts for about a third."""
LARGEST_STEP: Final = 1.0
"""Of a weight at once: where F is near 0 or 1 the curvature is next to none, and a step by it alone would overshoot."""
LEAST_SHARE: Final = 1e-4
"""The delay curve's F is clipped to this, from both ends, before its log-odds are taken."""


class Evidence(NamedTuple):
    """What positive rows say about F; sums, so that evidence of several ranks adds up."""

    slope_DT: Tensor
    """sum (y - F) x."""
    curvature_TDD: Tensor
    """sum F (1 - F) x x'."""
    labels_T: Tensor
    """n."""


class Arrival(nn.Module):
    """F(x) per task; buffers, so that it travels in checkpoints."""

    weights_DT: Tensor
    precision_TDD: Tensor

    def __init__(self, inputs: int, tasks: int) -> None:
        super().__init__()
        self.register_buffer("weights_DT", torch.zeros(inputs, tasks))
        self.register_buffer("precision_TDD", FIRST_PRECISION * torch.eye(inputs).repeat(tasks, 1, 1))

    def forward(self, inputs_BD: Tensor, arrived_T: Tensor) -> Tensor:
        """Return F of each row, (B, T); a task that the delay curve gives F = 1, all labels at once, keeps it.

        Args:
            inputs_BD: x, of about unit scale, one of them 1.
            arrived_T: the delay curve's F.
        """
        logits_BT = torch.logit(arrived_T, LEAST_SHARE) + inputs_BD @ self.weights_DT
        return torch.where(arrived_T < 1.0, torch.sigmoid(logits_BT), torch.ones_like(logits_BT))

    def nothing(self) -> Evidence:
        """Return the evidence of no rows."""
        return Evidence(
            torch.zeros_like(self.weights_DT),
            torch.zeros_like(self.precision_TDD),
            torch.zeros(self.weights_DT.shape[1]),
        )

    @torch.no_grad()
    def follow(self, evidence: Evidence) -> None:
        """Take evidence in, of the F that `forward` gives now."""
        keep_T11 = torch.exp(-evidence.labels_T / MEMORY).view(-1, 1, 1)
        first_DD = FIRST_PRECISION * torch.eye(self.weights_DT.shape[0])
        self.precision_TDD.mul_(keep_T11).add_((1.0 - keep_T11) * first_DD + evidence.curvature_TDD)
        step_TD1 = torch.linalg.solve(self.precision_TDD, evidence.slope_DT.T.unsqueeze(2))
        self.weights_DT += step_TD1.squeeze(2).T.clamp(-LARGEST_STEP, LARGEST_STEP)


@torch.no_grad()
def arrival_evidence(inputs_BD: Tensor, rows: StreamRows, sampling_B: Tensor | None = None) -> Evidence:
    """Return what the rows' positives say about F.

    Args:
        inputs_BD: x of each row.
        rows: with the F that Arrival gave them. Final rows say nothing: observed and corrected ones did before. Nor do
            rows with F = 1, of tasks whose labels come at once, or whose delay curve is not known yet.
        sampling_B: inverse of each row's chance to be kept; none means 1.
    """
    told_BT = rows.positive_BT & (rows.maturity_BT != OPEN) & (rows.phase_B != FINAL).unsqueeze(1)
    told_BT = told_BT & (rows.arrived_BT < 1.0)
    labels_BT = told_BT.to(inputs_BD.dtype)
    if sampling_B is not None:
        labels_BT = labels_BT * sampling_B.unsqueeze(1)
    early_B1 = (rows.phase_B != CORRECTED).to(inputs_BD.dtype).unsqueeze(1)
    curvature_BT = labels_BT * rows.arrived_BT * (1.0 - rows.arrived_BT)
    return Evidence(
        slope_DT=inputs_BD.T @ (labels_BT * (early_B1 - rows.arrived_BT)),
        curvature_TDD=(curvature_BT.T.unsqueeze(2) * inputs_BD).transpose(1, 2) @ inputs_BD,
        labels_T=labels_BT.sum(dim=0),
    )
