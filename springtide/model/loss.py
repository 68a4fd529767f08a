"""Masked, weighted log loss over log probabilities. Shapes: B rows, T tasks."""

from collections.abc import Mapping

import torch
from torch import Tensor

from springtide.contracts.tasks import TASKS
from springtide.model.graph import LogProbabilities


def task_losses(output: LogProbabilities, labels_BT: Tensor, weights_BT: Tensor) -> Tensor:
    """Return each task's mean log loss over its unmasked rows, (T,); 0 where all rows are masked.

    The mean divides by the number of unmasked rows, not by the sum of weights: importance weights keep their scale.
    """
    losses_BT = -(labels_BT * output.logp_BT + (1.0 - labels_BT) * output.log1mp_BT)
    rows_T = (weights_BT > 0.0).sum(dim=0).clamp(min=1)
    return (losses_BT * weights_BT).sum(dim=0) / rows_T


def weighted_loss(
    output: LogProbabilities, labels_BT: Tensor, weights_BT: Tensor, task_weights: Mapping[str, float]
) -> Tensor:
    """Return the scalar to minimise: the task losses, each times its weight."""
    weights_T = torch.tensor([task_weights[task] for task in TASKS], device=labels_BT.device)
    return (task_losses(output, labels_BT, weights_BT) * weights_T).sum()
