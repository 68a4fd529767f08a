"""A user's last behaviours one by one, oldest first, padded at the end. Shapes: B rows (or S slates), L steps, D width.

TorchRec pools every feature of a table; a step is therefore a feature of its own with at most one id, whose mean is its
vector. So the item table is one table, with one owner and one optimizer state, whoever reads it.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from springtide.model.inputs import RECENT_ITEMS_USED

STEPS: Final = RECENT_ITEMS_USED
"""L."""
STEP_FEATURES: Final = tuple(f"history_{step}" for step in range(STEPS))
"""One feature per step, in the item table."""
BEHAVIOUR: Final = "behaviour"
"""Key of the codes of BEHAVIOUR_CODES beside the features of a batch; no table is looked up for it."""


class Behaviours(NamedTuple):
    """What B users did last."""

    vectors_BLD: Tensor
    """Of the items, 0 where padded."""
    codes_BL: Tensor
    """int64, of BEHAVIOUR_CODES; 0 is padding."""
    rows_BL: Tensor
    """int64 rows of the item table; the fallback row 0 also where padded."""


def padded_steps(flat: NDArray[np.int64], lengths_S: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return S ragged lists, one after another in `flat`, as int64 (S, L) with 0 behind each."""
    steps_SL = np.zeros((len(lengths_S), STEPS), np.int64)
    steps_SL[np.arange(STEPS) < lengths_S[:, None]] = flat
    return steps_SL
