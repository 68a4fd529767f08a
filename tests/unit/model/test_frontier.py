"""PE-LTR's sweep: which floors are tried, which runs stay, which one is taken."""

from __future__ import annotations

import numpy as np
import pytest

from springtide.model.weighting.frontier import frontier, least_misery, sweep_floors
from springtide.model.weighting.pe_ltr import Floats, min_norm_weights

SEED = 3


def test_a_sweep_shares_the_total_in_every_way() -> None:
    floors_RT = sweep_floors(3, 2, 0.8)
    wanted = [(0, 0, 0.8), (0, 0.4, 0.4), (0, 0.8, 0), (0.4, 0, 0.4), (0.4, 0.4, 0), (0.8, 0, 0)]
    np.testing.assert_allclose(sorted(floors_RT.tolist()), wanted)
    assert sweep_floors(1, 4, 0.5).tolist() == [[0.5]]
    assert len(sweep_floors(4, 5, 1.0)) == 56
    with pytest.raises(ValueError, match="above 0 to 1, got 3, 2 and 1.5"):
        sweep_floors(3, 2, 1.5)


def test_dominated_runs_leave_and_equal_ones_stay() -> None:
    qualities_RT = np.array([[0.7, 0.6], [0.7, 0.5], [0.6, 0.8], [0.7, 0.6], [0.5, 0.7]])
    assert frontier(qualities_RT).tolist() == [True, False, True, True, False]


def test_least_misery_takes_the_worst_off_task_s_best_whatever_the_scales() -> None:
    qualities_RT = np.array([[0.9, -3.0], [0.5, -1.0], [0.8, -1.6], [0.79, -1.7]])
    assert least_misery(qualities_RT) == 2
    assert least_misery(qualities_RT * [1000.0, 0.001]) == 2
    tied_RT = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.9, 1.0], [1.0, 0.0, 0.4]])
    assert least_misery(tied_RT) == 2  # all have a task at its worst; the next worst-off decides
    with pytest.raises(ValueError, match="one run or more"):
        least_misery(np.zeros((0, 2)))


def descend(floors_T: Floats) -> list[float]:
    """Return minus the losses where PE-LTR's descent ends: two bowls, || x - a ||^2 and 3 || x - b ||^2."""
    centres, scales = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([1.0, 3.0])
    place = np.random.default_rng(SEED).normal(size=2) * 3.0
    for _ in range(80):
        gradients_TP = 2.0 * scales[:, None] * (place - centres)
        place = place - 0.1 * min_norm_weights(gradients_TP @ gradients_TP.T, floors_T) @ gradients_TP
    losses: list[float] = (-scales * np.square(place - centres).sum(axis=1)).tolist()
    return losses


def test_a_sweep_traces_the_frontier_of_two_bowls() -> None:
    print(f"seed {SEED}")
    floors_RT = sweep_floors(2, 4, 0.9)
    qualities_RT = np.array([descend(floors_T) for floors_T in floors_RT])
    assert frontier(qualities_RT).sum() >= 3
    roots_RT = np.sqrt(-qualities_RT / [1.0, 3.0])  # distances to the two centres: on the line between them
    assert roots_RT.sum(axis=1) == pytest.approx(np.full(len(roots_RT), np.sqrt(5.0)), rel=1e-3)
    worst = qualities_RT.min(axis=0)
    chosen = qualities_RT[least_misery(qualities_RT)]
    assert (chosen > worst).all()
