"""The stream of Ktena et al. (2019) in our rows: each impression a negative at once, each label a positive later.

They observe at age 0, so that every impression gives one negative, true or not, and every label one positive more: p
positives and 1 negative. Our observed row comes at the observation window and may hold its label already. Then it
stands for both, the negative and the positive: in expectation the same stream, whatever F is.
"""

import torch
from torch import Tensor

from springtide.model.delayed.rows import Lesson, StreamRows
from springtide.model.targets import CORRECTED


def as_negatives_first(rows: StreamRows, positive_BT: Tensor, negative_BT: Tensor) -> Lesson:
    """Return the lesson of that stream.

    Args:
        rows: of the stream, observed and corrected.
        positive_BT: weight of each positive.
        negative_BT: weight of each negative, more than 0.

    A row that stands for both, with weights a and c, is one row of weight a + c and label a / (a + c). Settled rows
    are plain.
    """
    a_BT = torch.where(rows.positive_BT, positive_BT, torch.zeros_like(positive_BT))
    c_BT = torch.where((rows.phase_B == CORRECTED).unsqueeze(1), torch.zeros_like(negative_BT), negative_BT)
    whole_BT = a_BT + c_BT
    both_BT = torch.where(rows.positive_BT, a_BT / whole_BT, torch.zeros_like(a_BT))
    return Lesson(
        torch.where(rows.settled_BT, rows.labels_BT, both_BT),
        torch.where(rows.settled_BT, torch.ones_like(whole_BT), whole_BT),
    )
