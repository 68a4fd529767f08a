"""What a method sees of the rows and what it says of them. Shapes: B rows, T tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from springtide.model.graph import LogProbabilities
from springtide.model.targets import CLOSED, CORRECTED, OPEN, Targets

LARGEST_P: Final = 0.999
"""The model's own p is clipped to this in weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamRows:
    """B rows of the stream, as targets.py reads them, with what the model thinks of them."""

    labels_BT: Tensor
    """0 or 1."""
    maturity_BT: Tensor
    """Codes of targets.py."""
    phase_B: Tensor
    """Codes of targets.py."""
    told_BT: Tensor
    """bool; a final row's late labels, which a corrected row has told already."""
    p_BT: Tensor
    """The model's probability before it learns the rows; methods use it without gradient."""
    arrived_BT: Tensor
    """F, the share of labels that come within the observation window, 0 to 1; (T,) where it is one for all rows;
    1 also while nothing is known of it."""
    sampling_B: Tensor
    """Inverse of each row's chance to be kept (targets.py)."""

    @classmethod
    def of(cls, targets: Targets, p_BT: Tensor, arrived_BT: Tensor) -> "StreamRows":
        """Return the rows that the targets describe, B = N."""
        return cls(
            labels_BT=torch.from_numpy(targets.labels_NT),
            maturity_BT=torch.from_numpy(targets.maturity_NT),
            phase_B=torch.from_numpy(targets.phase_N),
            told_BT=torch.from_numpy(targets.told_NT),
            p_BT=p_BT,
            arrived_BT=arrived_BT,
            sampling_B=torch.from_numpy(targets.sampling_N),
        )

    @property
    def own_p_BT(self) -> Tensor:
        """The model's own p, without gradient, below certainty."""
        return self.p_BT.detach().clamp(0.0, LARGEST_P)

    @property
    def positive_BT(self) -> Tensor:
        """Where the label is 1."""
        return self.labels_BT > 0.5

    @property
    def settled_BT(self) -> Tensor:
        """Where a row alone tells the final label, so that nothing needs correction."""
        return (self.maturity_BT == CLOSED) & (self.phase_B != CORRECTED).unsqueeze(1)


class Lesson(NamedTuple):
    """What to learn from the rows: the log loss of the labels, times the weights."""

    labels_BT: Tensor
    """0 to 1; between, where a row stands for a positive and a negative at once."""
    weights_BT: Tensor
    """0 masks."""


def every_known(maturity_BT: Tensor, told_BT: Tensor) -> Tensor:
    """Believe all rows that are old enough to mean anything."""
    return maturity_BT != OPEN


def as_it_is(output: LogProbabilities, rows: StreamRows) -> LogProbabilities:
    """Take the loss of the model's probabilities themselves."""
    return output


@dataclass(frozen=True, kw_only=True, slots=True)
class DelayMethod:
    """One method."""

    teach: Callable[[StreamRows], Lesson]
    """Labels and weights, masks left to `believed`."""
    believed: Callable[[Tensor, Tensor], Tensor] = every_known
    """From maturity and `told` (B, T) to bool (B, T): what counts at all."""
    seen: Callable[[LogProbabilities, StreamRows], LogProbabilities] = as_it_is
    """From the model's log probabilities to those that the stream's labels follow."""


def ones(rows: StreamRows) -> Tensor:
    """Return weights of 1, (B, T)."""
    return torch.ones_like(rows.p_BT)
