"""Fusion weights found by Thompson sampling beat grids set by hand at equal traffic and keep their floors."""

from __future__ import annotations

import numpy as np
import pytest

from springtide.experiments.fusion_tuning import Search, Trial, propose, recommend

SEEDS = (1, 2)
SEARCH = Search(low=(0.1, 0.1), high=(10.0, 10.0), floors=(0.70,), candidates=120)
ROUNDS = 14
NOISE = 0.03
"""Standard error of a trial's mean after one round's traffic."""
GRID = ((1.0, 1.0), (0.3, 1.0), (1.0, 0.3), (3.0, 1.0), (1.0, 3.0), (3.0, 3.0), (0.3, 0.3))


def truth(weights: tuple[float, ...]) -> tuple[float, float]:
    """An objective with its best at (5, 0.5), and a guardrail that falls as the first weight grows."""
    first, second = np.log(weights)
    objective = 1.0 - 0.12 * (first - np.log(5.0)) ** 2 - 0.15 * (second - np.log(0.5)) ** 2
    return float(objective), float(0.95 - 0.12 * first)


def serve(weights: tuple[float, ...], random: np.random.Generator, rounds: float = 1.0) -> Trial:
    error = NOISE / np.sqrt(rounds)
    means = tuple(value + error * random.normal() for value in truth(weights))
    return Trial(weights=weights, means=means, errors=(error, error))


def test_the_search_beats_seven_grids_set_by_hand_at_equal_traffic_and_keeps_the_floor() -> None:
    print(f"seeds {SEEDS}")
    gains = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        trials: list[Trial] = []
        for _ in range(ROUNDS):
            trials.append(serve(propose(SEARCH, trials, random), random))
        found = recommend(SEARCH, trials, random)
        assert found is not None
        assert truth(found)[1] > SEARCH.floors[0] - 0.01, f"seed {seed}: {found}"
        by_hand = [serve(weights, random, ROUNDS / len(GRID)) for weights in GRID]
        best = max((trial for trial in by_hand if trial.means[1] >= SEARCH.floors[0]), key=lambda trial: trial.means[0])
        gains.append(truth(found)[0] - truth(best.weights)[0])
    assert np.mean(gains) > 0.02, gains
    assert min(gains) > 0.0, gains


def test_traffic_goes_where_the_objective_is_good_and_the_floor_holds() -> None:
    random = np.random.default_rng(4)
    trials = [serve(propose(SEARCH, [], random), random) for _ in range(12)]
    proposed = [truth(propose(SEARCH, trials, random)) for _ in range(6)]
    anywhere = [truth(propose(SEARCH, [], random)) for _ in range(50)]
    assert np.mean([value for value, _ in proposed]) > np.mean([value for value, _ in anywhere]) + 0.3
    assert np.mean([guard >= SEARCH.floors[0] for _, guard in proposed]) > 0.6


def test_without_weights_that_keep_the_floor_nothing_is_recommended() -> None:
    random = np.random.default_rng(5)
    strict = Search(low=SEARCH.low, high=SEARCH.high, floors=(1.5,))
    trials = [serve(propose(SEARCH, [], random), random) for _ in range(8)]
    assert recommend(strict, trials, random) is None
    nearest = np.mean([truth(propose(strict, trials, random))[1] for _ in range(3)])
    assert nearest > np.mean([trial.means[1] for trial in trials])  # it still tries where the floor is missed least


def test_equal_seeds_propose_equal_weights_within_bounds() -> None:
    trials = [serve(weights, np.random.default_rng(6)) for weights in GRID]
    one, two = (propose(SEARCH, trials, np.random.default_rng(7)) for _ in range(2))
    assert one == two
    assert all(0.1 <= weight <= 10.0 for weight in one)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="0 < low < high"):
        Search(low=(0.0,), high=(1.0,))
    with pytest.raises(ValueError, match="sureness"):
        Search(low=(0.1,), high=(1.0,), sureness=1.0)
    wrong = [Trial(weights=(1.0,), means=(1.0,), errors=(0.1,))] * 5
    with pytest.raises(ValueError, match="trial: expected 2 weights, 2 means and errors"):
        propose(SEARCH, wrong, np.random.default_rng(0))
    with pytest.raises(ValueError, match="2 trials or more"):
        recommend(SEARCH, [], np.random.default_rng(0))
