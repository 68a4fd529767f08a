from __future__ import annotations

from collections import Counter

import pytest

from serving.ranking.policy import place

FUSED = [0.1, 0.9, 0.5, 0.7]


def test_greedy_ranks_by_score_with_certainty() -> None:
    placed = place(FUSED, size=3, epsilon=0.0, request_id="r")
    assert placed.places == (1, 3, 2)
    assert placed.propensities == (1.0, 1.0, 1.0)


def test_equal_scores_keep_the_order_of_candidates() -> None:
    assert place([0.5, 0.5, 0.5], size=3, epsilon=0.0, request_id="r").places == (0, 1, 2)


def test_a_repeated_request_explores_alike() -> None:
    assert place(FUSED, size=4, epsilon=0.5, request_id="r7") == place(FUSED, size=4, epsilon=0.5, request_id="r7")


def test_no_more_positions_than_candidates() -> None:
    placed = place(FUSED, size=10, epsilon=0.3, request_id="r")
    assert sorted(placed.places) == [0, 1, 2, 3]
    assert placed.propensities[-1] == pytest.approx(1.0), "one candidate left: no choice"


def test_propensities_are_the_frequencies_of_what_happens() -> None:
    epsilon, requests = 0.3, 20_000
    first: Counter[int] = Counter()
    second: Counter[tuple[int, int]] = Counter()
    told: dict[tuple[int, ...], float] = {}
    for request in range(requests):
        placed = place(FUSED, size=2, epsilon=epsilon, request_id=f"r{request}")
        one, two = placed.places
        first[one] += 1
        second[one, two] += 1
        told[one,] = placed.propensities[0]
        told[one, two] = placed.propensities[1]
    assert sum(told[one,] for one in range(4)) == pytest.approx(1.0)
    for one in range(4):
        assert first[one] / requests == pytest.approx(told[one,], abs=0.012)
        assert sum(told[one, two] for two in range(4) if two != one) == pytest.approx(1.0)
    for pair, count in second.items():
        assert count / requests == pytest.approx(told[pair[0],] * told[pair], abs=0.012)


def test_weighted_by_propensity_the_log_gives_another_policys_value() -> None:
    """Inverse propensity scoring of an even policy from logged slates: the reason why propensities are logged."""
    reward = [0.2, 0.8, 0.4, 0.6]
    total = 0.0
    for request in range(20_000):
        placed = place(FUSED, size=1, epsilon=0.3, request_id=f"v{request}")
        total += (1 / 4) / placed.propensities[0] * reward[placed.places[0]]
    assert total / 20_000 == pytest.approx(0.5, abs=0.03)
