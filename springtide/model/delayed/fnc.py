"""FNC, fake negative calibration (Ktena et al. 2019), with the calibration inside the loss.

The stream of negatives first (as_negatives_first.py) has the positive share b = p / (1 + p). The paper learns b by the
plain log loss and serves p = b / (1 - b). That inversion can stand on either side of the model. Here it stands in the
loss: the model says p, the loss compares

    b = p / (1 + p),    log b = log p - log(1 + p),    log(1 - b) = -log(1 + p)

with the stream's labels, positives p* and negatives 1. Its slope in p,

    -(p* / p - (p* + 1) / (1 + p)) = (p - p*) / (p (1 + p)),

is 0 at the true p* alone. For a single sigmoid both are the same model in another parameter. Inside the loss it holds
for every behaviour graph too, where products of biased probabilities would be no biased probability; p cannot pass 1,
which b / (1 - b) does for b > 1/2; and a bundle serves p as any other does: nothing has to travel with it.
"""

from typing import Final

import torch

from springtide.model.delayed.as_negatives_first import as_negatives_first
from springtide.model.delayed.rows import DelayMethod, Lesson, StreamRows, ones
from springtide.model.graph import LogProbabilities


def _teach(rows: StreamRows) -> Lesson:
    return as_negatives_first(rows, ones(rows), ones(rows))


def _seen(output: LogProbabilities, rows: StreamRows) -> LogProbabilities:
    more_BT = torch.log1p(output.logp_BT.exp())
    return LogProbabilities(
        torch.where(rows.settled_BT, output.logp_BT, output.logp_BT - more_BT),
        torch.where(rows.settled_BT, output.log1mp_BT, -more_BT),
    )


FNC: Final = DelayMethod(teach=_teach, seen=_seen)
