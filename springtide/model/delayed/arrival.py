"""F of each row: the share of its labels that come within the observation window, learned while labels come.

One F for all is wrong where likely buyers, or what is dear, convert later: es_dfm.py and defer.py say by how much.
ES-DFM's paper (Yang et al. 2021) learns two networks on a log of closed labels, p_dp = p (1 - F) and
(1 - p) / (1 - p F). Both follow from p and F(x), and F(x) can be read off the stream itself. Of its positive rows at x

    p F    are observed,        p (1 - F)    are corrected,

so among positives the share of observed ones is F, whatever p is: a logistic regression of "observed" on x over the
positive rows has its optimum at F(x). It needs no log, no waiting and no p. It starts at the delay curve's F and learns
the difference of the log-odds from it (logistic_filter.py).

A label that comes late is also counted late: where base rates rise, corrected rows speak for fewer impressions than
observed ones, and F comes out too high by that ratio. Shapes: B rows, T tasks, D inputs.
"""

from typing import Final

import torch
from torch import Tensor

from springtide.model.delayed.logistic_filter import Evidence, LogisticFilter, evidence_of
from springtide.model.delayed.rows import StreamRows
from springtide.model.targets import CORRECTED, FINAL, OPEN

LEAST_SHARE: Final = 1e-4
"""The delay curve's F is clipped to this, from both ends, before its log-odds are taken."""


class Arrival(LogisticFilter):
    """F(x) per task."""

    def forward(self, inputs_BD: Tensor, arrived_T: Tensor) -> Tensor:
        """Return F of each row, (B, T); a task that the delay curve gives F = 1, all labels at once, keeps it.

        Args:
            inputs_BD: x, of about unit scale, one of them 1.
            arrived_T: the delay curve's F.
        """
        shares_BT = super().forward(inputs_BD, torch.logit(arrived_T, LEAST_SHARE))
        return torch.where(arrived_T < 1.0, shares_BT, torch.ones_like(shares_BT))


def arrival_evidence(inputs_BD: Tensor, rows: StreamRows, sampling_B: Tensor | None = None) -> Evidence:
    """Return what the rows' positives say about F.

    Args:
        inputs_BD: x of each row.
        rows: with the F that Arrival gave them. Final rows say nothing: observed and corrected ones did before. Nor do
            rows with F = 1, of tasks whose labels come at once, or whose delay curve is not known yet.
        sampling_B: inverse of each row's chance to be kept; none means 1.
    """
    told_BT = rows.positive_BT & (rows.maturity_BT != OPEN) & (rows.phase_B != FINAL).unsqueeze(1)
    weights_BT = (told_BT & (rows.arrived_BT < 1.0)).to(inputs_BD.dtype)
    if sampling_B is not None:
        weights_BT = weights_BT * sampling_B.unsqueeze(1)
    early_B1 = (rows.phase_B != CORRECTED).to(inputs_BD.dtype).unsqueeze(1)
    return evidence_of(inputs_BD, early_B1, rows.arrived_BT, weights_BT)
