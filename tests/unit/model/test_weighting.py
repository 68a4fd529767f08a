"""Task weightings: uncertainty rests where its derivation says; PE-LTR's weights are the quadratic programme's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from springtide.contracts.tasks import TASKS
from springtide.model.weighting.fixed import fixed_weights
from springtide.model.weighting.pe_ltr import Floats, min_norm_weights, weights_of_present
from springtide.model.weighting.uncertainty import uncertainty_slope, uncertainty_weights

SEED = 11


def test_fixed_weights_are_in_the_order_of_tasks() -> None:
    weights_T = fixed_weights(dict(zip(reversed(TASKS), (3.0, 2.0, 1.0), strict=True)))
    assert weights_T.tolist() == [1.0, 2.0, 3.0]


def test_log_variance_rests_where_each_task_adds_a_half_and_moves_both_ways() -> None:
    losses_T, everyone = torch.tensor([0.05, 0.5, 2.0]), torch.ones(3, dtype=torch.bool)
    log_variance_T = torch.zeros(3)
    for _ in range(4000):
        log_variance_T = log_variance_T - 0.05 * uncertainty_slope(log_variance_T, losses_T, everyone)
    weights_T = uncertainty_weights(log_variance_T)
    assert weights_T.tolist() == pytest.approx([10.0, 1.0, 0.25], rel=1e-3)
    assert log_variance_T[0] < 0.0 < log_variance_T[2]


def test_the_slope_is_that_of_the_derived_loss() -> None:
    log_variance_T = torch.tensor([-0.7, 0.0, 1.3], requires_grad=True)
    losses_T = torch.tensor([0.2, 0.4, 0.9])
    (expected_T,) = torch.autograd.grad(
        (torch.exp(-log_variance_T) * losses_T + log_variance_T / 2).sum(), log_variance_T
    )
    present = torch.tensor([True, True, False])
    slope_T = uncertainty_slope(log_variance_T.detach(), losses_T, present)
    assert slope_T.tolist() == pytest.approx([*expected_T[:2].tolist(), 0.0])


def length(gram_TT: Floats, weights_T: Floats) -> float:
    return float(weights_T @ gram_TT @ weights_T)


def solved(gram_TT: Floats, floors_T: Floats) -> float:
    """Return the least length by a general solver."""
    tasks = len(floors_T)
    start = floors_T + (1 - floors_T.sum()) / tasks
    found = minimize(
        lambda w: w @ gram_TT @ w,
        start,
        jac=lambda w: 2 * gram_TT @ w,
        bounds=[(floor, 1.0) for floor in floors_T],
        constraints=[{"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(tasks)}],
        method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-14},
    )
    return float(found.fun)


def test_weights_are_the_quadratic_programme_s_for_all_kinds_of_gradients() -> None:
    draw = np.random.default_rng(SEED)
    for case in range(120):
        tasks = int(draw.integers(1, 5))
        gradients_TP = draw.normal(size=(tasks, int(draw.integers(1, 6)))) * 10.0 ** draw.uniform(-3, 3, (tasks, 1))
        if case % 3 == 0 and tasks > 1:
            gradients_TP[-1] = gradients_TP[0] * draw.choice([-2.0, 0.0, 0.5, 1.0])  # opposed, zero, parallel, equal
        gram_TT = gradients_TP @ gradients_TP.T
        floors_T = draw.dirichlet(np.ones(tasks)) * draw.choice([0.0, 0.3, 0.9])
        weights_T = min_norm_weights(gram_TT, floors_T)
        assert weights_T.sum() == pytest.approx(1.0)
        assert (weights_T >= floors_T).all()
        scale = np.trace(gram_TT)
        assert length(gram_TT, weights_T) <= solved(gram_TT / scale, floors_T) * scale + 1e-7 * scale, f"{SEED}, {case}"


@pytest.mark.parametrize(
    ("gradients", "floors", "expected"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], [0.5, 0.5]),
        ([[2.0, 0.0], [0.0, 1.0]], [0.0, 0.0], [0.2, 0.8]),
        ([[2.0, 0.0], [0.0, 1.0]], [0.3, 0.0], [0.3, 0.7]),
        ([[1.0], [3.0]], [0.1, 0.1], [0.9, 0.1]),
        ([[1.0], [1.0]], [0.0, 0.0], [0.5, 0.5]),
        ([[0.0], [0.0]], [0.2, 0.0], [0.6, 0.4]),
        ([[0.0, 0.0], [1.0, 0.0]], [0.0, 0.25], [0.75, 0.25]),
        ([[1.0], [-1.0]], [0.0, 0.0], [0.5, 0.5]),
    ],
)
def test_weights_by_hand(gradients: list[list[float]], floors: list[float], expected: list[float]) -> None:
    gradients_TP = np.array(gradients)
    weights_T = min_norm_weights(gradients_TP @ gradients_TP.T, np.array(floors))
    assert weights_T.tolist() == pytest.approx(expected, abs=1e-6)


def test_a_task_without_rows_takes_no_weight_from_the_others() -> None:
    gradients_TP = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    weights_T = weights_of_present(gradients_TP @ gradients_TP.T, np.full(3, 0.1), np.array([True, False, True]))
    assert weights_T.tolist() == pytest.approx([0.2, 0.0, 0.8])
    assert weights_of_present(np.zeros((3, 3)), np.full(3, 0.1), np.zeros(3, bool)).tolist() == [0.0, 0.0, 0.0]
