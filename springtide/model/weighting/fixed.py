"""Fixed weights: sum_k w_k L_k, with the weights of `model.task_weights`. Shapes: T tasks."""

from collections.abc import Mapping

import torch
from torch import Tensor

from springtide.contracts.tasks import TASKS


def fixed_weights(task_weights: Mapping[str, float]) -> Tensor:
    """Return the weights in the order of TASKS, float32 (T,)."""
    return torch.tensor([task_weights[task] for task in TASKS])
