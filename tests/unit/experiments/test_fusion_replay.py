"""Replay of logged slates: probabilities by hand, and the value that serving the other weights would have had."""

from __future__ import annotations

import numpy as np
import pytest

from springtide.experiments.fusion_replay import Floats, LoggedSlates, placing_probabilities, replay

SEED = 8
CANDIDATES, POSITIONS, EPSILON = 5, 2, 0.5


def test_placing_probabilities_by_hand() -> None:
    fused_SN = np.array([[0.1, 0.9, 0.5], [0.3, 0.3, 0.2]])
    placed_SK = np.array([[1, 0], [1, 0]])
    found_SK = placing_probabilities(fused_SN, placed_SK, 0.3)
    assert found_SK.tolist() == [pytest.approx([0.8, 0.15]), pytest.approx([0.1, 0.85])]
    with pytest.raises(ValueError, match="K <= N"):
        placing_probabilities(fused_SN, np.zeros((2, 4), np.int64), 0.3)


def serve(fused_SN: Floats, worth_SN: Floats, random: np.random.Generator) -> LoggedSlates:
    """Serve as the policy does; an item earns 1 with the chance of its worth, less at the second position."""
    slates = len(fused_SN)
    left_SN, rows_S = fused_SN.copy(), np.arange(slates)
    placed_SK = np.empty((slates, POSITIONS), np.int64)
    for position in range(POSITIONS):
        order_SN = np.argsort(-left_SN, axis=1, kind="stable")
        explores_S = random.random(slates) < EPSILON
        spots_S = np.where(explores_S, random.integers(CANDIDATES - position, size=slates), 0)
        placed_SK[:, position] = order_SN[rows_S, spots_S]
        left_SN[rows_S, placed_SK[:, position]] = -np.inf
    chances_SK = np.take_along_axis(worth_SN, placed_SK, axis=1) * [1.0, 0.6]
    return LoggedSlates(
        placed_SK=placed_SK,
        propensities_SK=placing_probabilities(fused_SN, placed_SK, EPSILON),
        rewards_SK=(random.random(chances_SK.shape) < chances_SK).astype(np.float64),
    )


def test_the_value_is_that_of_serving_the_other_weights() -> None:
    print(f"seed {SEED}")
    random = np.random.default_rng(SEED)
    scores_SNT = random.random((20_000, CANDIDATES, 2))
    worth_SN = scores_SNT[..., 1] * 0.5
    logged_by, asked = scores_SNT @ [1.0, 0.2], scores_SNT @ [0.2, 1.0]
    found = replay(serve(logged_by, worth_SN, random), asked, EPSILON)
    truth = serve(asked, worth_SN, random).rewards_SK.sum(axis=1)
    naive = serve(logged_by, worth_SN, random).rewards_SK.sum(axis=1).mean()
    assert found.value is not None
    assert found.standard_error is not None
    assert abs(found.value - truth.mean()) < 4 * (found.standard_error + truth.std() / 141)
    assert found.value - naive > 5 * found.standard_error
    assert 200 < found.effective_rows < 20_000


def test_a_lower_position_counts_as_often_as_what_stands_above_it() -> None:
    logged = LoggedSlates(
        placed_SK=np.array([[0, 1], [1, 0]] * 10),
        propensities_SK=np.array([[0.5, 1.0]] * 20),
        rewards_SK=np.array([[1.0, 0.25], [0.5, 0.75]] * 10),
    )
    found = replay(logged, np.array([[1.0, 0.0]] * 20), 0.0, floor=5.0)
    assert found.value == pytest.approx(1.25)
    assert found.standard_error == pytest.approx(0.0)
    assert found.effective_rows == pytest.approx(10.0)


def test_the_logged_weights_themselves_replay_to_what_was_earned() -> None:
    random = np.random.default_rng(SEED)
    fused_SN = random.random((500, CANDIDATES))
    logged = serve(fused_SN, fused_SN * 0.5, random)
    found = replay(logged, fused_SN, EPSILON)
    assert found.value == pytest.approx(logged.rewards_SK.sum(axis=1).mean())
    assert found.effective_rows == pytest.approx(500.0)


def test_too_few_effective_slates_are_refused() -> None:
    random = np.random.default_rng(SEED)
    fused_SN = random.random((100, CANDIDATES))
    found = replay(serve(fused_SN, fused_SN, random), -fused_SN, 0.0)
    assert found.value is None
    assert found.refusal is not None
    assert "explore more" in found.refusal
