"""Interleaving, off-policy values, user totals, verdicts and ramps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.experiments.interleaving import preference, team_draft
from springtide.experiments.off_policy import (
    doubly_robust,
    effective_rows,
    importance_weights,
    inverse_propensity,
    self_normalised,
)
from springtide.experiments.ramp import Move, RampPlan, next_move
from springtide.experiments.sequential import Sequence
from springtide.experiments.user_totals import UserTotals
from springtide.experiments.verdict import Evidence, Guardrail, Status, Verdict, decide


def sure(value: Any) -> Any:
    assert value is not None
    return value


RANKING = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@given(a=RANKING, b=RANKING, length=st.integers(0, 10), seed=st.integers(0, 1000))
def test_a_draft_is_distinct_fair_and_keeps_each_order(a: list[str], b: list[str], length: int, seed: int) -> None:
    draft = team_draft(a, b, length, np.random.default_rng(seed))
    assert len(set(draft.items)) == len(draft.items) == min(length, len(set(a) | set(b)))
    for team, ranking in (("A", a), ("B", b)):
        mine = [item for item, owner in zip(draft.items, draft.teams, strict=True) if owner == team]
        assert mine == sorted(mine, key=ranking.index)
    if set(a) == set(b):
        assert abs(draft.teams.count("A") - draft.teams.count("B")) <= 1


def test_equal_rankings_tie_and_a_better_one_wins() -> None:
    rng = np.random.default_rng(3)
    good, poor = [str(i) for i in range(20)], [str(i) for i in range(19, -1, -1)]

    def compare(left: list[str], right: list[str]) -> Any:
        totals = np.zeros((2, 300))
        for user in range(300):
            draft = team_draft(left, right, 6, rng)
            for item, team in zip(draft.items, draft.teams, strict=True):
                totals["AB".index(team), user] += rng.random() < 0.3 / (1 + int(item))
        return preference(*totals)

    assert abs(compare(good, good).z) < 3
    better = compare(good, poor)
    assert better.z > 4
    assert better.share_preferring_a > 0.7
    assert preference([1.0], [0.0]) is None
    with pytest.raises(ValueError, match="align them"):
        preference([1.0], [0.0, 1.0])


def logged(rng: np.random.Generator, rows: int = 20_000) -> tuple[Any, ...]:
    """Three actions; the logger prefers the worst, the target the best. Truth: 0.23."""
    p0, target, reward = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.3, 0.6]), np.array([0.05, 0.15, 0.3])
    action = rng.choice(3, rows, p=p0)
    rewards = (rng.random(rows) < reward[action]).astype(float)
    return rewards, importance_weights(target[action], p0[action]), action, reward, float(target @ reward)


def test_estimators_find_a_policy_that_never_ran() -> None:
    rewards, weights, action, reward, truth = logged(np.random.default_rng(5))
    wrong_model = np.array([0.2, 0.2, 0.2])
    answers = [
        inverse_propensity(rewards, weights),
        self_normalised(rewards, weights),
        doubly_robust(rewards, weights, reward[action], np.full(len(action), truth)),
        doubly_robust(rewards, weights, wrong_model[action], np.full(len(action), 0.2)),
    ]
    for answer in answers:
        assert answer.refusal is None
        assert abs(sure(answer.value) - truth) < 4 * sure(answer.standard_error)
    assert sure(answers[2].standard_error) < sure(answers[0].standard_error)
    assert abs(rewards.mean() - truth) > 0.1


def test_standard_errors_are_honest() -> None:
    rng = np.random.default_rng(6)
    values = []
    for _ in range(200):
        rewards, weights, *_ = logged(rng, 1000)
        answer = self_normalised(rewards, weights)
        values.append((sure(answer.value), sure(answer.standard_error)))
    spread = np.std([value for value, _ in values])
    assert np.mean([error for _, error in values]) == pytest.approx(spread, rel=0.2)


def test_too_few_effective_rows_are_refused() -> None:
    weights = importance_weights([1.0] + [0.001] * 999, [0.001] + [0.9] * 999)
    assert effective_rows(weights) < 2
    for answer in (inverse_propensity(np.ones(1000), weights), self_normalised(np.ones(1000), weights)):
        assert answer.value is None
        assert "below 200" in sure(answer.refusal)
    assert inverse_propensity([], np.zeros(0)).value is None
    with pytest.raises(ValueError, match="propensities in"):
        importance_weights([0.5], [0.0])
    with pytest.raises(ValueError, match="probabilities in"):
        importance_weights([1.5], [0.5])
    with pytest.raises(ValueError, match="align"):
        importance_weights([0.5, 0.5], [0.5])


def test_users_enter_once_with_final_totals() -> None:
    totals = UserTotals(("views", "buy"), start_ms=100, observation_ms=50, attribution_ms=30)
    totals.add("u", "new", 40, {"views": 3})
    totals.add("u", "new", 120, {"views": 5})
    totals.add("u", "new", 160, {"views": 2, "buy": 1})
    totals.add("u", "new", 175, {"views": 9})
    totals.add("u", "control", 130, {"views": 9})
    totals.add("v", "control", 140, {"views": 1})
    assert (totals.after_observation, totals.arm_conflicts) == (1, 1)
    assert totals.exposed() == {"new": 1, "control": 1}
    assert totals.moments(199) == {}
    only = totals.moments(200)
    assert list(only) == ["new"]
    means = dict(zip(only["new"].columns, only["new"].mean_K.tolist(), strict=True))
    assert means == {"views": 7.0, "buy": 1.0, "before_views": 3.0, "before_buy": 0.0}
    assert set(totals.moments(220)) == {"new", "control"}
    with pytest.raises(KeyError, match="declare them"):
        totals.add("u", "new", 120, {"carts": 1})


SURE, OPEN, HARM = Sequence(0.01, 0.1, 0.01), Sequence(-0.1, 0.1, 0.6), Sequence(-1.0, -0.02, 0.001)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"users_exposed": 0, "users_final": 0}, Status.NO_DATA),
        ({"users_final": 10}, Status.WAITING_FOR_LABELS),
        ({"users_exposed": 50, "users_final": 10}, Status.COLLECTING),
        ({}, Status.COLLECTING),
        ({"goal": OPEN}, Status.COLLECTING),
        ({"goal": SURE}, Status.READY),
        ({"goal": OPEN, "users_final": 5000}, Status.READY),
        ({"goal": SURE, "sample_ratio_mismatch": True}, Status.UNHEALTHY),
        ({"guardrails": [Guardrail("clicks", HARM)]}, Status.GUARDRAIL_FAILING),
        ({"guardrails": [Guardrail("clicks", HARM, tolerance=0.05)]}, Status.COLLECTING),
        ({"guardrails": [Guardrail("buys", HARM, matured=False)]}, Status.COLLECTING),
        ({"rolled_back": True, "goal": SURE}, Status.ROLLED_BACK),
        ({"shipped": True}, Status.SHIPPED),
    ],
)
def test_verdicts(changes: dict[str, Any], status: Status) -> None:
    base = {"users_exposed": 6000, "users_final": 1000, "users_expected": 5000}
    assert decide(Evidence(**{**base, **changes})).status is status


def test_a_broken_split_hides_the_effect_and_only_harm_rolls_back() -> None:
    unhealthy, failing = Verdict(Status.UNHEALTHY, ""), Verdict(Status.GUARDRAIL_FAILING, "")
    assert not unhealthy.shows_effect
    assert not unhealthy.calls_for_rollback
    assert failing.calls_for_rollback
    assert [status.value for status in Status][2:4] == ["no data", "unhealthy (SRM)"]


def test_ramp_moves() -> None:
    plan = RampPlan(steps=(0.1, 0.5, 1.0), hold_ms=10, least_new_users=5)
    calm = Verdict(Status.COLLECTING, "fine")

    def move(enrolled: float = 0.1, now: int = 20, users: int = 9, verdict: Verdict = calm) -> Move:
        return next_move(plan, verdict, enrolled=enrolled, since_ms=5, watermark_ms=now, new_users=users)

    assert (move().action, move().enrolled) == ("advance", 0.5)
    assert move(now=14).action == "hold"
    assert move(users=4).action == "hold"
    assert move(enrolled=1.0).action == "done"
    assert move(verdict=Verdict(Status.UNHEALTHY, "")).action == "hold"
    back = move(verdict=Verdict(Status.GUARDRAIL_FAILING, "harm"))
    assert (back.action, back.enrolled) == ("roll_back", 0.0)
    assert list(plan.problems()) == []
    assert len(list(RampPlan(steps=(0.5, 0.1, 2.0), hold_ms=-1).problems())) == 3
