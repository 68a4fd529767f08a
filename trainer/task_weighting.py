"""Task losses to the one loss that a step minimises, the same on every rank. Shapes: T tasks, P shared parameters."""

from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from springtide.contracts.errors import StateError
from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig
from springtide.model.weighting.fixed import fixed_weights
from springtide.model.weighting.pe_ltr import weights_of_present
from springtide.model.weighting.uncertainty import uncertainty_slope, uncertainty_weights
from trainer.sharded import ShardedNetwork, Tensors

_LOG_VARIANCE = "weighting.log_variance"


class TaskWeighting(Protocol):
    """One of the classes below; every rank calls it together."""

    def combine(self, losses_T: Tensor, present_T: Tensor) -> Tensor:
        """Return the scalar to minimise.

        Args:
            losses_T: this rank's task losses, scaled so that their mean over ranks is the mean over all ranks' rows.
            present_T: bool, whether any rank has rows of the task.
        """

    def state(self) -> Tensors:
        """Return what a checkpoint must hold."""

    def load_state(self, state: Tensors) -> None:
        """Become what `state` returned; what a checkpoint does not hold starts anew."""


class FixedWeighting:
    """See springtide/model/weighting/fixed.py."""

    def __init__(self, config: ModelConfig) -> None:
        self._weights_T = fixed_weights(config.task_weights)

    def combine(self, losses_T: Tensor, present_T: Tensor) -> Tensor:
        """Return the weighted sum."""
        return (losses_T * self._weights_T).sum()

    def state(self) -> Tensors:
        """Nothing is learned."""
        return {}

    def load_state(self, state: Tensors) -> None:
        """Nothing was."""


class UncertaintyWeighting:
    """See springtide/model/weighting/uncertainty.py. Takes a plain gradient step of s after each step of the model."""

    def __init__(self, config: ModelConfig, group: Any) -> None:
        self._group, self._rate = group, config.weighting_learning_rate
        self._log_variance_T = torch.zeros(len(TASKS))

    def combine(self, losses_T: Tensor, present_T: Tensor) -> Tensor:
        """Return the weighted sum, and move s by the losses of all ranks."""
        loss = (losses_T * uncertainty_weights(self._log_variance_T)).sum()
        whole_T = _mean_over_ranks(losses_T.detach().clone(), self._group)
        slope_T = uncertainty_slope(self._log_variance_T, whole_T, present_T)
        self._log_variance_T = self._log_variance_T - self._rate * slope_T
        return loss

    def state(self) -> Tensors:
        """Return s; equal on every rank."""
        return {_LOG_VARIANCE: self._log_variance_T.clone()}

    def load_state(self, state: Tensors) -> None:
        """Take s up.

        Raises:
            StateError: there are other tasks than in the checkpoint.
        """
        kept_T = state.get(_LOG_VARIANCE)
        if kept_T is None:
            return
        if kept_T.shape != self._log_variance_T.shape:
            shape = tuple(kept_T.shape)
            raise StateError(f"checkpoint: expected {_LOG_VARIANCE} ({len(TASKS)},), got {shape}; start anew")
        self._log_variance_T = kept_T.clone()


class ParetoWeighting:
    """See springtide/model/weighting/pe_ltr.py.

    Gradients are those of the shared dense parameters, the backbone's, and of nothing else: embedding tables may be
    larger than memory, and a step touches other rows of them for each task. Cost per step: one backward pass through
    towers and backbone per task beside the one that learns, P floats per task, and one all-reduce of T x P.
    """

    def __init__(self, config: ModelConfig, network: ShardedNetwork, group: Any) -> None:
        self._network, self._group = network, group
        self._floors_T = np.array([config.weight_floors[task] for task in TASKS])

    def combine(self, losses_T: Tensor, present_T: Tensor) -> Tensor:
        """Return the sum with the weights of this step's gradients."""
        gradients_TP = _mean_over_ranks(self._network.shared_gradients(losses_T), self._group).double()
        gram_TT = (gradients_TP @ gradients_TP.T).numpy()
        weights_T = weights_of_present(gram_TT, self._floors_T, present_T.numpy())
        return (losses_T * torch.from_numpy(weights_T).to(losses_T.dtype)).sum()

    def state(self) -> Tensors:
        """Nothing is learned: the weights are each step's own."""
        return {}

    def load_state(self, state: Tensors) -> None:
        """Nothing was."""


def make_weighting(config: ModelConfig, network: ShardedNetwork, group: Any) -> TaskWeighting:
    """Return what `model.weighting` names."""
    if config.weighting == "uncertainty":
        return UncertaintyWeighting(config, group)
    if config.weighting == "pe-ltr":
        return ParetoWeighting(config, network, group)
    return FixedWeighting(config)


def _mean_over_ranks(values: Tensor, group: Any) -> Tensor:
    if group.size() > 1:
        dist.all_reduce(values, group=group)
    ranks: int = group.size()
    return values / ranks
