"""DEFER (Gu et al. 2021): every impression is told twice, the second time with its final label.

It needs all three phases of the joiner, `labels.policy = "full"`. First the observed row; then once more: a late
positive by its corrected row, as it comes, all others by their final row. A final row's late labels are masked, since
the corrected row told them. So each impression counts exactly twice and the features keep their true distribution,
which duplicating positives alone bends. Per impression there are

    positives  p F + p = p (1 + F)         negatives  (1 - p F) + (1 - p) = 2 (1 - p + p_dp / 2)

out of 2 rows, and the true share over the stream's share is

    w_pos = p / (p (1 + F) / 2)            = 2 / (1 + F)
    w_neg = (1 - p) / (1 - p + p_dp / 2)

with masses 2 p and 2 (1 - p): least at p. Where the share at x is G, not the F believed, it is least at
p (1 + G) / (1 + F): off by a factor however rare the labels, so that with one F for all and delays that depend on x
even vanilla ranks better. Then F must be that of x (arrival.py). Of a task with F = 1 both rows are plain. The masses
hold once final rows flow: in the first attribution window of a stream's life the real negatives are missing.
"""

from typing import Final

import torch
from torch import Tensor

from springtide.model.delayed.rows import DelayMethod, Lesson, StreamRows
from springtide.model.targets import OPEN


def _teach(rows: StreamRows) -> Lesson:
    p_BT = rows.own_p_BT
    late_BT = p_BT * (1.0 - rows.arrived_BT)
    negative_BT = (1.0 - p_BT) / (1.0 - p_BT + late_BT / 2.0)
    positive_BT = (2.0 / (1.0 + rows.arrived_BT)).expand_as(p_BT)
    return Lesson(rows.labels_BT, torch.where(rows.positive_BT, positive_BT, negative_BT))


def _believed(maturity_BT: Tensor, told_BT: Tensor) -> Tensor:
    return (maturity_BT != OPEN) & ~told_BT


DEFER: Final = DelayMethod(teach=_teach, believed=_believed)
