"""What a step minimises per task: the rows' log losses, and what a model asks for beside them or in their place.

Beside them there may be a loss over each slate; in their place, one loss whose weights come from behaviour.
The delayed-feedback method decides what rows teach. A slate loss takes labels as they are and the rows that the method
believes; a label that a corrected row tells alone has no slate beside it and teaches through the log loss only.
Shapes: B rows, T tasks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig
from springtide.model.delayed.phases import PHASES, Method
from springtide.model.delayed.registry import BY_NAME, lesson
from springtide.model.delayed.rows import StreamRows
from springtide.model.graph import LogProbabilities
from springtide.model.inputs import RawColumns
from springtide.model.loss import task_losses
from springtide.model.sample_weights import weighted_logistic, worth
from springtide.model.slate_loss import choose_slate_loss, comparable_slates, task_slate_losses
from springtide.model.targets import CORRECTED, FINAL, Targets

Taught = tuple[RawColumns, Targets]
"""A rank's rows of one step."""

AuxiliaryLosses = Callable[[Tensor, Tensor], Tensor]
"""From what a lesson teaches, labels and weights (B, T), to what nets beside the served one add to each loss, (T,)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCounts:
    """What all ranks' batches of a step hold together."""

    rows_T: Tensor
    """Unmasked rows per task."""
    slates_T: Tensor
    """Slates that a slate loss can compare, per task; 0 without a slate loss."""


class Objective:
    """Task losses of one model.

    Args:
        config: of the model.
        method: of delayed feedback.
        world_size: number of ranks. DDP and TorchRec average gradients over ranks as if all had equally many rows;
            losses are scaled so that this mean is the mean over all ranks' rows, or slates.
        auxiliary: of the network whose output is judged; none: it has no such nets.
    """

    def __init__(
        self, config: ModelConfig, method: Method, world_size: int, auxiliary: AuxiliaryLosses | None = None
    ) -> None:
        self._method, self._world_size = method, world_size
        self._auxiliary = _nothing if auxiliary is None else auxiliary
        self._share = config.slate_share if config.slate_loss != "none" else 0.0
        self._worths = config.behaviour_weights if config.sample_weighting else None
        self._slate_loss = choose_slate_loss(config.slate_loss, config.list_loss)

    def rows(self, targets: Targets) -> list[int]:
        """Return the unmasked rows per task, to be announced to the other ranks."""
        counts: list[int] = self._believed(targets).sum(dim=0).tolist()
        return counts

    def slates(self, columns: RawColumns, targets: Targets) -> list[int]:
        """Return the slates that can be compared per task, to be announced to the other ranks."""
        if self._share == 0.0:
            return [0] * len(TASKS)
        counts: list[int] = comparable_slates(torch.from_numpy(columns.slate_N), self._believed(targets)).tolist()
        return counts

    def losses(self, output: LogProbabilities, mine: Taught | None, arrived_BT: Tensor, counts: StepCounts) -> Tensor:
        """Return each task's loss, (T,).

        Args:
            output: what the network said of this rank's rows.
            mine: these rows; none where the rank has nothing to read and passed one row that teaches nothing.
            arrived_BT: F of each row, or (T,) for all: the share of labels that come within the observation window.
            counts: of all ranks.
        """
        if mine is None:  # every rank must go backward
            nothing_BT = torch.zeros_like(output.logp_BT)
            return output.logp_BT.sum(dim=0) * 0.0 + self._auxiliary(nothing_BT, nothing_BT)
        columns, targets = mine
        if self._worths is not None:
            return self._worth_losses(output, targets, counts.rows_T, self._worths)
        losses_T = self._row_losses(output, targets, arrived_BT, counts.rows_T)
        if self._share == 0.0:
            return losses_T
        labels_BT, slate_B = torch.from_numpy(targets.labels_NT), torch.from_numpy(columns.slate_N)
        sums_T = task_slate_losses(self._slate_loss, output, labels_BT, slate_B, self._believed(targets))
        slates_T = sums_T * self._world_size / counts.slates_T.clamp(min=1)
        return (1.0 - self._share) * losses_T + self._share * slates_T

    def _row_losses(self, output: LogProbabilities, targets: Targets, arrived_BT: Tensor, rows_T: Tensor) -> Tensor:
        rows = StreamRows.of(targets, output.logp_BT.detach().exp(), arrived_BT)
        taught = lesson(self._method, rows)
        share_T: Tensor = (taught.weights_BT > 0.0).sum(dim=0) * self._world_size / rows_T.clamp(min=1)
        seen = BY_NAME[self._method].seen(output, rows)
        losses_T = task_losses(seen, taught.labels_BT, taught.weights_BT)
        return (losses_T + self._auxiliary(taught.labels_BT, taught.weights_BT)) * share_T

    def _worth_losses(
        self, output: LogProbabilities, targets: Targets, rows_T: Tensor, worths: Mapping[str, float]
    ) -> Tensor:
        """Return the one loss in the place of clicks, whose head makes the score, and 0 for the other tasks."""
        phase_B, score = torch.from_numpy(targets.phase_N), TASKS.index("click")
        told_BT = self._believed(targets)
        if "observed" in PHASES[self._method]:  # a final row would tell its labels again
            told_BT = told_BT & (phase_B != FINAL).unsqueeze(1)
        negative_B = told_BT.any(dim=1) & (phase_B != CORRECTED)
        worth_B = worth(torch.from_numpy(targets.labels_NT), told_BT, torch.from_numpy(targets.price_N), worths)
        losses_B = weighted_logistic(output.logp_BT[:, score], output.log1mp_BT[:, score], worth_B, negative_B)
        loss = (losses_B * torch.from_numpy(targets.sampling_N)).sum() * self._world_size / rows_T.max().clamp(min=1)
        return functional.one_hot(torch.tensor(score), len(TASKS)) * loss

    def _believed(self, targets: Targets) -> Tensor:
        maturity_NT, told_NT = torch.from_numpy(targets.maturity_NT), torch.from_numpy(targets.told_NT)
        return BY_NAME[self._method].believed(maturity_NT, told_NT)


def _nothing(labels_BT: Tensor, weights_BT: Tensor) -> Tensor:
    return labels_BT.new_zeros(labels_BT.shape[1])
