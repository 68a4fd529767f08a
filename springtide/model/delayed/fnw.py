"""FNW, fake negative weighted (Ktena et al. 2019): importance weights for the stream of negatives first.

That stream (as_negatives_first.py) holds p positives and 1 negative per impression, so its positive share is
p / (1 + p). The true share over the stream's share gives

    w_pos = p / (p / (1 + p))       = 1 + p
    w_neg = (1 - p) / (1 / (1 + p)) = (1 - p) (1 + p)

with masses p (1 + p) and (1 - p) (1 + p): least at p. It needs no F, and pays with more weight on fake negatives: all
labels, not only the late ones, are first told as a 0.
"""

from typing import Final

from springtide.model.delayed.as_negatives_first import as_negatives_first
from springtide.model.delayed.rows import DelayMethod, Lesson, StreamRows


def _teach(rows: StreamRows) -> Lesson:
    p_BT = rows.own_p_BT
    return as_negatives_first(rows, 1.0 + p_BT, (1.0 - p_BT) * (1.0 + p_BT))


FNW: Final = DelayMethod(teach=_teach)
