"""Regression losses: least where their definition says, and 1 for the best constant in any unit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from springtide.model.regression import LOSSES, constant_loss, scaled_loss

SEED = 9
KINDS = list(LOSSES)


def values(kind: str) -> Tensor:
    random = torch.Generator().manual_seed(SEED)
    amounts_B = torch.rand(400, generator=random, dtype=torch.float64)
    return (amounts_B < 0.2).double() if kind == "log" else 30.0 * amounts_B * (amounts_B > 0.4)


def best_constant(kind: str, values_B: Tensor) -> Tensor:
    """Return the constant score at which the loss is least, by its definition."""
    mean = values_B.mean()
    return {"log": (mean / (1 - mean)).log(), "squared": mean, "weighted-logistic": mean.log()}[kind]


def scale(kind: str, values_B: Tensor) -> Tensor:
    return constant_loss(kind, values_B.mean(), values_B.square().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_is_least_at_its_best_constant_and_one_there(kind: str) -> None:
    values_B = values(kind)
    score = best_constant(kind, values_B).requires_grad_()
    loss = scaled_loss(kind, score.expand(400), values_B, torch.ones(400), scale(kind, values_B))
    (slope,) = torch.autograd.grad(loss, score)
    assert float(loss) == pytest.approx(1.0)
    assert float(slope) == pytest.approx(0.0, abs=1e-9)


def test_the_unit_of_a_squared_loss_does_not_matter() -> None:
    values_B = values("squared")
    scores_B = values_B * 0.8 + 1.0
    seconds = scaled_loss("squared", scores_B, values_B, torch.ones(400), scale("squared", values_B))
    hours = scaled_loss("squared", scores_B / 3600, values_B / 3600, torch.ones(400), scale("squared", values_B / 3600))
    assert float(seconds) == pytest.approx(float(hours))
    assert 0.0 < float(seconds) < 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_masked_rows_give_no_gradient_and_extremes_stay_finite(kind: str) -> None:
    scores_B = torch.tensor([40.0, -40.0, 3.0], requires_grad=True)
    loss = scaled_loss(kind, scores_B, torch.tensor([0.0, 1.0, 1.0]), torch.tensor([1.0, 1.0, 0.0]), torch.tensor(0.5))
    (gradient_B,) = torch.autograd.grad(loss, scores_B)
    assert loss.isfinite()
    assert gradient_B[2] == 0.0
    assert gradient_B[0] > 0.0 > gradient_B[1]


@pytest.mark.parametrize("kind", KINDS)
def test_without_rows_or_spread_the_loss_is_zero(kind: str) -> None:
    scores_B, zeros_B = torch.tensor([1.0, 2.0]), torch.zeros(2)
    assert scaled_loss(kind, scores_B, zeros_B, zeros_B, torch.tensor(0.3)) == 0.0
    assert constant_loss(kind, torch.tensor(0.0), torch.tensor(0.0)) == 0.0
    assert scaled_loss(kind, scores_B, zeros_B, torch.ones(2), torch.tensor(0.0)) == 0.0
