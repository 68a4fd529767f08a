"""Add-to-cart as early evidence of a purchase, after GDFM (Yang and Zhan 2022), which learns P(action | x, label, age).

When an impression is observed without its label yet, what was done already, a (in a cart or not), tells how likely the
label still is. Let

    w(x, a) = P(the label comes late | x, a, none yet)

and teach w where others teach a 0. By the law of total probability the expected label of the observed row is then

    p F + sum_a P(a, none yet | x) w(x, a) = p F + p (1 - F) = p,

so the log loss is least at p: no row is told twice, no weight passes 1, and corrected rows are not needed. GDFM gets w
by Bayes' rule, and so does this. Without a, the odds of w follow from p and F, and a multiplies them by a ratio:

    w / (1 - w) = (1 - F) p / (1 - p) * P(a | x, late) / P(a | x, never)

The first factor is the model's own p, so that w moves with it. The log of the second is r(x, a), linear in x and a x,
learned from final rows: of those without a label when observed, some have it now (logistic_filter.py). r also takes up
what one F for all misses. The price: w is in part what the model believed before, so that only early labels and carts
move it; ES-DFM hears the corrected rows too and follows a change of p sooner. Shapes: B rows, T tasks, D inputs.
"""

import torch
from torch import Tensor

from springtide.model.delayed.arrival import LEAST_SHARE
from springtide.model.delayed.logistic_filter import Evidence, evidence_of
from springtide.model.delayed.rows import Lesson, StreamRows
from springtide.model.targets import CLOSED, FINAL, OPEN, WHOLE


def with_evidence(inputs_BD: Tensor, done_B: Tensor) -> Tensor:
    """Return what r is linear in, (B, 2 D): x, and x once more where it was done.

    Args:
        inputs_BD: x, of about unit scale, one of them 1.
        done_B: bool; what counts as evidence was done by the observation window.
    """
    return torch.cat([inputs_BD, inputs_BD * done_B.to(inputs_BD.dtype).unsqueeze(1)], dim=1)


def known_log_odds(rows: StreamRows) -> Tensor:
    """Return the log-odds of w without evidence, (B, T)."""
    return torch.logit(rows.own_p_BT, LEAST_SHARE) + torch.log1p(-rows.arrived_BT.clamp(max=1.0 - LEAST_SHARE))


def gdfm_lesson(rows: StreamRows, late_BT: Tensor) -> Lesson:
    """Return what observed rows teach, with w for labels that have not come; all other rows are masked.

    Args:
        rows: observed ones, and final ones for `late_evidence`.
        late_BT: w.
    """
    open_BT = ~rows.positive_BT & ~rows.settled_BT
    first_BT = (rows.phase_B == WHOLE).unsqueeze(1) & (rows.maturity_BT != OPEN)
    return Lesson(torch.where(open_BT, late_BT.detach(), rows.labels_BT), first_BT.to(late_BT.dtype))


def late_evidence(inputs_BD: Tensor, rows: StreamRows, late_BT: Tensor, sampling_B: Tensor | None = None) -> Evidence:
    """Return what final rows say of w: among those that had no label when observed, `told` ones have one now.

    Args:
        inputs_BD: of `with_evidence`.
        rows: with `told`, so with the age at which rows are observed.
        late_BT: w as it is now.
        sampling_B: inverse of each row's chance to be kept; none means 1.
    """
    final_BT = (rows.phase_B == FINAL).unsqueeze(1) & (rows.maturity_BT == CLOSED)
    weights_BT = (final_BT & (rows.told_BT | ~rows.positive_BT)).to(late_BT.dtype)
    if sampling_B is not None:
        weights_BT = weights_BT * sampling_B.unsqueeze(1)
    return evidence_of(inputs_BD, rows.told_BT.to(late_BT.dtype), late_BT, weights_BT)
