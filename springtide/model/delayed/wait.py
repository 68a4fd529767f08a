"""Wait: learn from final rows alone.

A final row tells the label at the attribution window: the log loss of final rows is least at p by definition. It is
the reference that the others are measured against (the "oracle", when its rows are there at once), and it is as late
as the attribution window is long.
"""

from typing import Final

from torch import Tensor

from springtide.model.delayed.rows import DelayMethod, Lesson, StreamRows, ones
from springtide.model.targets import CLOSED


def _teach(rows: StreamRows) -> Lesson:
    return Lesson(rows.labels_BT, ones(rows))


def _believed(maturity_BT: Tensor, told_BT: Tensor) -> Tensor:
    return maturity_BT == CLOSED


WAIT: Final = DelayMethod(teach=_teach, believed=_believed)
