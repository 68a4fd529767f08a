"""Methods by name, and what the trainer does with one. Shapes: B rows, T tasks."""

from typing import Final

import torch

from springtide.model.delayed.balanced import BALANCED
from springtide.model.delayed.defer import DEFER
from springtide.model.delayed.es_dfm import ES_DFM
from springtide.model.delayed.fnc import FNC
from springtide.model.delayed.fnw import FNW
from springtide.model.delayed.phases import Method
from springtide.model.delayed.rows import DelayMethod, Lesson, StreamRows
from springtide.model.delayed.vanilla import VANILLA
from springtide.model.delayed.wait import WAIT

BY_NAME: Final[dict[Method, DelayMethod]] = {
    "balanced": BALANCED,
    "es-dfm": ES_DFM,
    "vanilla": VANILLA,
    "wait": WAIT,
    "fnw": FNW,
    "fnc": FNC,
    "defer": DEFER,
}


def lesson(method: Method, rows: StreamRows) -> Lesson:
    """Return what to learn from rows, float32 (B, T) each.

    Args:
        method: one of BY_NAME.
        rows: of the phases that the method learns from.
    """
    chosen = BY_NAME[method]
    taught = chosen.teach(rows)
    believed_BT = chosen.believed(rows.maturity_BT, rows.told_BT).to(torch.float32)
    return Lesson(taught.labels_BT, taught.weights_BT * believed_BT * rows.sampling_B.unsqueeze(1))
