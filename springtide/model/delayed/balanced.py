"""Balanced: ES-DFM for traffic that comes in tides; late positives weigh as much as the negatives learned beside them.

ES-DFM's negatives hold the place of positives that will come: an evening's rows push p down by p (1 - F) each, and the
late positives of the hours after push it up again. That is right over a day. By the hour, pushes down follow today's
impressions and pushes up those of hours ago, so that a network swings with the traffic: at night, when late positives
of the evening outnumber the rows beside them, its purchases rose to twice the truth by noon, and fell back to 1.2
times it by evening (docs/decisions/balanced-batches.md). Here each batch is in balance by itself. With

    k     = sum of (1 - p) over late positives / sum of p (1 - p) (1 - F) over open rows
    w_pos = 1, of late ones too                w_neg = (F + k (1 - F)) (1 - p) / (1 - p F)

a batch of open rows with true share p*, of whose labels F are there, and any number of late positives has the slope

    p* F (1 - p) - (1 - p* F) (F + k (1 - F)) (1 - p) p / (1 - p F) + k p (1 - p) (1 - F)

per open row, which is 0 at p* alone. With even traffic k is 1 at p*, and the method is ES-DFM but for its factor
1 + p_dp, also where F depends on x. Above LARGEST_K late positives share that much. While F is unknown, 1, all weights
are 1, as in vanilla. What late positives tell of the base rate is left to level.py, which counts them by the hour of
their impression; a task without level drift learns its rate from the labels that come within the observation window.
"""

from typing import Final

import torch

from springtide.model.delayed.rows import DelayMethod, Lesson, StreamRows
from springtide.model.targets import CORRECTED, OBSERVED

LARGEST_K: Final = 2.0
"""Late positives weigh at most as much as so many times those that the open rows beside them await."""


def _teach(rows: StreamRows) -> Lesson:
    p_BT, arrived_BT = rows.own_p_BT, rows.arrived_BT
    corrected_B1 = (rows.phase_B == CORRECTED).unsqueeze(1)
    late_BT = rows.positive_BT & corrected_B1
    open_BT = (rows.maturity_BT == OBSERVED) & ~corrected_B1
    worth_BT = (1.0 - p_BT) * rows.sampling_B.unsqueeze(1)
    came_T = (worth_BT * late_BT).sum(dim=0)
    due_T = (worth_BT * p_BT * (1.0 - arrived_BT) * open_BT).sum(dim=0)
    k_T = came_T.minimum(LARGEST_K * due_T) / due_T.clamp(min=_TINY)
    late_share_T = k_T * due_T / came_T.clamp(min=_TINY)
    negative_BT = (arrived_BT + k_T * (1.0 - arrived_BT)) * (1.0 - p_BT) / (1.0 - p_BT * arrived_BT)
    known_BT = arrived_BT < 1.0
    weights_BT = torch.where(rows.positive_BT, torch.where(late_BT, late_share_T, 1.0), negative_BT)
    weights_BT = torch.where(known_BT & ~rows.settled_BT, weights_BT, 1.0)
    return Lesson(rows.labels_BT, weights_BT.to(p_BT.dtype))


_TINY: Final = 1e-12

BALANCED: Final = DelayMethod(teach=_teach)
