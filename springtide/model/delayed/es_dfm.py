"""ES-DFM (Yang et al. 2021): importance weights, the true share over the stream's share.

The stream holds p positives and 1 - p F negatives in 1 + p_dp rows. So

    w_pos = p / (p / (1 + p_dp))               = 1 + p_dp
    w_neg = (1 - p) / ((1 - p F) / (1 + p_dp)) = (1 + p_dp) (1 - p) / (1 - p F)

Then the weighted masses are p (1 + p_dp) and (1 - p) (1 + p_dp), and the log loss is least at p. The paper learns p_dp
and (1 - p) / (1 - p F) by two more networks; here they follow from the model's own p and from F. Where the share at x
is G, not the F believed, the loss is least at p / (1 + p (F - G)): with one F for all and delays that depend on x, the
mean of p is mended, but not the order, which is off as far as vanilla's. Then F must be that of x (arrival.py).
"""

from typing import Final

import torch

from springtide.model.delayed.rows import DelayMethod, Lesson, StreamRows


def _teach(rows: StreamRows) -> Lesson:
    p_BT = rows.own_p_BT
    late_BT = p_BT * (1.0 - rows.arrived_BT)
    negative_BT = (1.0 - p_BT) / (1.0 - p_BT * rows.arrived_BT)
    weights_BT = (1.0 + late_BT) * torch.where(rows.positive_BT, torch.ones_like(p_BT), negative_BT)
    return Lesson(rows.labels_BT, torch.where(rows.settled_BT, torch.ones_like(p_BT), weights_BT))


ES_DFM: Final = DelayMethod(teach=_teach)
