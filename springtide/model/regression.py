"""Losses of regression heads, and one scale for losses of every kind. Shapes: B rows.

A head may tell an amount, such as dwell or watch time or what was paid, by one of

    squared             (f - v)^2 / 2                    least at f = E[v]         (Zhao et al. 2019)
    weighted logistic   v softplus(-f) + softplus(f)     least at exp(f) = E[v]    (sample_weights.py; v >= 0)

Losses of different kinds cannot be added as they are: a squared loss in seconds^2 drowns a log loss. Here each is
divided by the loss of the best constant on the same rows, a number known from the labels alone:

    log                 -m log m - (1 - m) log(1 - m)           m = E[y]
    squared             Var[v] / 2
    weighted logistic   (1 + m) log(1 + m) - m log m            m = E[v]

A head that knows nothing then has loss 1 and a perfect one less, whatever its unit. For the log loss it is the
normalised entropy (He et al. 2014), for the squared loss 1 - R^2.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional


def squared(scores_B: Tensor, values_B: Tensor) -> Tensor:
    """Return (B,)."""
    return (scores_B - values_B).square() / 2.0


def weighted_logistic_of_score(scores_B: Tensor, values_B: Tensor) -> Tensor:
    """Return (B,), for values of at least 0."""
    return values_B * functional.softplus(-scores_B) + functional.softplus(scores_B)


def log_loss(scores_B: Tensor, values_B: Tensor) -> Tensor:
    """Return (B,), for values of 0 to 1."""
    return (1.0 - values_B) * functional.softplus(scores_B) + values_B * functional.softplus(-scores_B)


def _squared_constant(mean: Tensor, square: Tensor) -> Tensor:
    return (square - mean.square()).clamp(min=0.0) / 2.0


def _logistic_constant(mean: Tensor, square: Tensor) -> Tensor:
    return torch.xlogy(1.0 + mean, 1.0 + mean) - torch.xlogy(mean, mean)


def _log_constant(mean: Tensor, square: Tensor) -> Tensor:
    return -torch.xlogy(mean, mean) - torch.xlogy(1.0 - mean, 1.0 - mean)


LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "log": log_loss,
    "squared": squared,
    "weighted-logistic": weighted_logistic_of_score,
}
"""By kind, from scores and values to a loss per row."""

_CONSTANTS: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "log": _log_constant,
    "squared": _squared_constant,
    "weighted-logistic": _logistic_constant,
}


def constant_loss(kind: str, mean: Tensor, square: Tensor) -> Tensor:
    """Return the mean loss of the best constant, a scalar; 0 where a constant is perfect.

    Args:
        kind: one of LOSSES.
        mean: of the values.
        square: mean of their squares.
    """
    return _CONSTANTS[kind](mean, square)


def scaled_loss(kind: str, scores_B: Tensor, values_B: Tensor, weights_B: Tensor, constant: Tensor) -> Tensor:
    """Return the weighted mean loss over that of the best constant, a scalar; 0 without rows or spread.

    Args:
        kind: one of LOSSES.
        scores_B: any real numbers.
        values_B: what they should tell.
        weights_B: 0 masks: no loss, no gradient.
        constant: `constant_loss` of values that are typical, such as a running mean's: those of one batch are noisy.
    """
    losses_B = LOSSES[kind](scores_B, values_B) * weights_B
    mean = losses_B.sum() / weights_B.sum().clamp(min=torch.finfo(losses_B.dtype).tiny)
    return torch.where(constant > 0.0, mean / constant.clamp(min=torch.finfo(losses_B.dtype).tiny), mean * 0.0)
