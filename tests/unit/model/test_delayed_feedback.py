"""Delayed-feedback weights: the weighted stream teaches the final probability, which the bare stream does not."""

from __future__ import annotations

import pytest
import torch

from springtide.model.delayed_feedback import Method, row_weights
from springtide.model.targets import CLOSED, OBSERVED, OPEN


def optimum(method: Method, p: float, arrived: float) -> float:
    """Return the guess at which the weighted stream's expected gradient is 0, by bisection."""
    low, high = 1e-6, 1 - 1e-6
    masses = torch.tensor([p * arrived + p * (1 - arrived), 1 - p * arrived], dtype=torch.float64)
    for _ in range(60):
        guess = (low + high) / 2
        weights = row_weights(
            method,
            torch.tensor([[1.0], [0.0]], dtype=torch.float64),
            torch.full((2, 1), OBSERVED),
            torch.full((2, 1), guess, dtype=torch.float64),
            torch.tensor([arrived], dtype=torch.float64),
        ).squeeze(1)
        weighted = masses * weights
        slope = weighted[1] / (1 - guess) - weighted[0] / guess  # of the expected log loss
        low, high = (guess, high) if slope < 0 else (low, guess)
    return (low + high) / 2


@pytest.mark.parametrize("p", [0.01, 0.2, 0.7])
@pytest.mark.parametrize("arrived", [0.1, 0.5, 1.0])
def test_es_dfm_teaches_p(p: float, arrived: float) -> None:
    assert optimum("es-dfm", p, arrived) == pytest.approx(p, rel=1e-4)


def test_vanilla_teaches_too_little() -> None:
    assert optimum("vanilla", 0.2, 0.5) == pytest.approx(0.2 / 1.1, rel=1e-3)


def test_weights_follow_the_derivation() -> None:
    p, arrived = 0.3, 0.6
    late = p * (1 - arrived)
    weights = row_weights(
        "es-dfm",
        torch.tensor([[1.0], [0.0]]),
        torch.full((2, 1), OBSERVED),
        torch.full((2, 1), p),
        torch.tensor([arrived]),
    )
    assert weights.squeeze(1).tolist() == pytest.approx([1 + late, (1 + late) * (1 - p) / (1 - p * arrived)])


@pytest.mark.parametrize(
    ("method", "expected"), [("es-dfm", [0.0, 0.96, 1.0]), ("vanilla", [0.0, 1.0, 1.0]), ("wait", [0.0, 0.0, 1.0])]
)
def test_maturity_decides_what_counts(method: Method, expected: list[float]) -> None:
    weights = row_weights(
        method,
        torch.zeros(1, 3),
        torch.tensor([[OPEN, OBSERVED, CLOSED]]),
        torch.full((1, 3), 0.2),
        torch.full((3,), 0.5),
    )
    assert weights[0].tolist() == pytest.approx(expected, abs=0.03)


def test_weights_carry_no_gradient_and_stay_finite_at_certainty() -> None:
    p = torch.tensor([[1.0, 0.0, 0.5]], requires_grad=True)
    weights = row_weights("es-dfm", torch.zeros(1, 3), torch.full((1, 3), OBSERVED), p, torch.tensor([1.0, 0.0, 0.5]))
    assert not weights.requires_grad
    assert weights.isfinite().all()
