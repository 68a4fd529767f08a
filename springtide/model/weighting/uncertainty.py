"""Uncertainty weighting (Kendall et al. 2018) as derived for cross-entropy. Shapes: T tasks.

A task's logits f are divided by a temperature sigma^2 of its own: p(y) = softmax(f / sigma^2)_y. Then

    -log p(y) = CE / sigma^2 + log( sum_c exp(f_c / sigma^2) / (sum_c exp f_c)^(1 / sigma^2) )

and the paper takes the second term for log sigma, exact at sigma = 1. With s = log sigma^2 a task contributes

    exp(-s) L + s / 2        with the slope in s    1/2 - exp(-s) L

so s rests where exp(-s) = 1 / (2 L): every task then adds 1/2, and a task of small loss gets a large weight. s is free
to move both ways from 0; held at s >= 0, as in some codes, no weight could rise above 1, and rare behaviours, whose
losses are far below 1/2, would never get theirs. The factor 1/2 before L belongs to squared loss alone.
"""

import torch
from torch import Tensor


def uncertainty_weights(log_variance_T: Tensor) -> Tensor:
    """Return exp(-s), (T,)."""
    return torch.exp(-log_variance_T)


def uncertainty_slope(log_variance_T: Tensor, losses_T: Tensor, present_T: Tensor) -> Tensor:
    """Return the slope by s, (T,): 0 for a task without rows, whose loss says nothing.

    Args:
        log_variance_T: s.
        losses_T: each task's loss over all rows.
        present_T: bool, whether the task has rows.
    """
    slope_T = 0.5 - torch.exp(-log_variance_T) * losses_T
    return torch.where(present_T, slope_T, torch.zeros_like(slope_T))
