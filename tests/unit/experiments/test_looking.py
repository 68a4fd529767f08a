"""False alarms under a hundred looks, and the ramp that must never roll back."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from springtide.experiments.lift import Difference, Ratio, ratio_estimate, relative_lift
from springtide.experiments.moments import Moments
from springtide.experiments.sequential import (
    SequentialPlan,
    confidence_sequence,
    half_width,
    mixture_sprt_interval,
)
from springtide.experiments.srm import Phase, SequentialSrm, chi_square_p
from springtide.experiments.user_totals import UserTotals
from springtide.experiments.verdict import Evidence, Guardrail, Status, Verdict, decide

RUNS, LOOKS, BATCH = 1000, 100, 100
HOUR = 3_600_000


@pytest.fixture(scope="module")
def null_paths() -> tuple[Any, ...]:
    """z paths and standard errors of A/A tests, shape (runs, looks); users of both arms at each look."""
    rng = np.random.default_rng(17)
    steps = rng.gamma(0.5, 2.0, (2, RUNS, LOOKS * 4)).reshape(2, RUNS, LOOKS, 4)
    mean = steps.mean(axis=3).cumsum(axis=2) / np.arange(1, LOOKS + 1)
    square = (steps**2).mean(axis=3).cumsum(axis=2) / np.arange(1, LOOKS + 1)
    users_arm = np.arange(1, LOOKS + 1) * 4
    error = np.sqrt(((square - mean**2) / (users_arm - 1)).sum(axis=0))
    return mean[1] - mean[0], error, users_arm * 2


def sure(value: Any) -> Any:
    assert value is not None
    return value


def difference(value: float, error: float, users: int) -> Difference:
    return Difference(value, error, -inf, inf, value / error, 1.0, users)


def share_alarming(outside: Any) -> float:
    return float(outside.any(axis=1).mean())


@pytest.mark.parametrize("side", ["both", "above", "below"])
def test_confidence_sequence_keeps_its_promise_over_a_hundred_looks(null_paths: Any, side: str) -> None:
    value, error, users = null_paths
    plan = SequentialPlan(alpha=0.05, expected_users=500, side=side)
    width = np.array([half_width(1.0, int(count), plan) for count in users]) * error
    outside = {"both": abs(value) > width, "above": value > width, "below": -value > width}[side]
    late = slice(5, None)  # asymptotic: the first looks hold fewer than 25 users an arm
    alarms = share_alarming(outside[:, late])
    assert alarms <= binom.ppf(0.999, RUNS, 0.05) / RUNS
    assert alarms > 0.0
    assert share_alarming((abs(value / error) > 1.96)[:, late]) > 0.25


def test_sequence_and_p_value_agree_and_find_effects() -> None:
    for side in ("both", "above"):
        plan = SequentialPlan(alpha=0.05, expected_users=5000, side=side)
        for z in (-4.0, 0.0, 1.0, 2.5, 3.0, 3.5, 5.0):
            look = confidence_sequence(difference(z * 0.1, 0.1, 5000), plan)
            assert look.excludes_zero == (look.p_value < 0.05), (side, z)
    assert confidence_sequence(difference(0.5, 0.1, 5000), SequentialPlan(expected_users=5000)).low > 0
    assert confidence_sequence(difference(-0.5, 0.1, 5000), SequentialPlan(side="above")).p_value == 1.0
    assert confidence_sequence(difference(-0.5, 0.1, 5000), SequentialPlan(side="below")).high < 0.0
    assert confidence_sequence(Difference(0, 0, 0, 0, 0, 1, 0), SequentialPlan()).low == -inf


def test_two_sided_width_by_hand() -> None:
    plan = SequentialPlan(alpha=0.05, expected_users=5000)
    r2 = (-2 * np.log(0.05) + np.log(1 - 2 * np.log(0.05))) / 5000
    n = 3000
    root = np.sqrt(n * r2 + 1)
    expected = 0.1 * np.sqrt(n) * np.sqrt(2 * (n * r2 + 1) / (n**2 * r2) * np.log(root / 0.05))
    assert half_width(0.1, n, plan) == pytest.approx(expected)
    one = SequentialPlan(alpha=0.05, expected_users=5000, side="above")
    assert half_width(0.1, 5000, one) < half_width(0.1, 5000, plan)


def test_mixture_sprt_also_survives_peeking(null_paths: Any) -> None:
    value, error, users = null_paths
    outside = np.zeros_like(value, bool)
    for run in range(0, RUNS, 4):
        for look in range(5, LOOKS, 5):
            effect = difference(value[run, look], error[run, look], int(users[look]))
            low, high = mixture_sprt_interval(effect, 0.05, 0.1)
            outside[run, look] = low > 0 or high < 0
    assert outside.any(axis=1).sum() / (RUNS / 4) <= 0.05
    assert mixture_sprt_interval(difference(1.0, 0.1, 100), 0.05, 0.3)[0] > 0


def test_a_plan_without_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="fix the plan"):
        SequentialPlan(alpha=0.7)
    with pytest.raises(ValueError, match="fix the plan"):
        SequentialPlan(side="up")


def test_sequential_srm_under_a_hundred_looks() -> None:
    rng = np.random.default_rng(23)
    new = rng.binomial(BATCH, 0.5, (250, LOOKS))
    sequential = peeking = 0
    for run in new:
        test = SequentialSrm()
        test.start_phase({"a": 1, "b": 1})
        for count in run:
            test.add({"a": BATCH - int(count), "b": int(count)})
        total = np.cumsum(run)
        z = (total - np.arange(1, LOOKS + 1) * BATCH / 2) / np.sqrt(np.arange(1, LOOKS + 1) * BATCH / 4)
        sequential += test.mismatch(0.05)
        peeking += bool((abs(z) > 1.96).any())
    assert sequential <= binom.ppf(0.999, 250, 0.05)
    assert peeking > 60


def test_sequential_srm_follows_a_ramp_and_finds_a_leak() -> None:
    rng = np.random.default_rng(29)
    healthy, leaking, blind = SequentialSrm(), SequentialSrm(), []
    for weight in (0.01, 0.1, 0.25, 0.5):
        plan = {"control": 1 - weight, "new": weight}
        healthy.start_phase(plan)
        leaking.start_phase(plan)
        for _ in range(25):
            count = int(rng.binomial(400, weight))
            lost = int(rng.binomial(count, 0.15))
            healthy.add({"control": 400 - count, "new": count})
            leaking.add({"control": 400 - count, "new": count - lost})
        blind.append(Phase({"control": 0.5, "new": 0.5}, dict(healthy.counts)))
    assert healthy.p_value > 0.05
    assert leaking.mismatch(0.01)
    assert sure(chi_square_p(blind)) < 1e-100
    again = SequentialSrm.from_dict(json.loads(json.dumps(leaking.to_dict())))
    assert again.p_value == leaking.p_value


def test_an_arm_that_should_get_nobody_is_a_mismatch() -> None:
    test = SequentialSrm()
    with pytest.raises(ValueError, match="start_phase first"):
        test.add({"a": 1})
    test.start_phase({"a": 1, "b": 1, "c": 0})
    test.add({"c": 1})
    assert test.p_value == 0.0
    assert SequentialSrm.from_dict(json.loads(json.dumps(test.to_dict()))).mismatch()
    with pytest.raises(ValueError, match="two arms"):
        SequentialSrm().start_phase({"a": 1})


def ramp_world(seed: int, effect: float = 1.0, weights_move: bool = False, users: int = 6000) -> tuple[Any, ...]:
    """A 1 -> 50 % ramp over five days; purchases come with a mean delay of 18 h within 36 h."""
    rng = np.random.default_rng(seed)
    first = np.sort(rng.uniform(0, 120, users))
    share = np.select([first < 30, first < 60, first < 90], [0.01, 0.1, 0.25], 0.5)
    enrolled = np.ones(users, bool) if weights_move else rng.random(users) < 2 * share
    new = rng.random(users) < np.where(weights_move, share, 0.5)
    views = rng.poisson(15, users) + 1
    bought = rng.poisson(0.03 * views * np.where(new, effect, 1.0))
    delay = rng.exponential(18.0, (users, 8)) % 36
    return first, enrolled, new, views, bought, delay


def naive_look(world: Any, now: float) -> tuple[Any, ...]:
    """What a dashboard without maturity shows: all users so far, all purchases so far."""
    first, enrolled, new, views, bought, delay = world
    seen = enrolled & (first <= now)
    came = ((first[:, None] + delay <= now) & (np.arange(8) < bought[:, None])).sum(axis=1)
    return seen, new, views, came


def moments_of(mask: Any, views: Any, came: Any) -> Moments:
    return Moments.of(views=views[mask], purchase=came[mask])


def lift_between(seen: Any, new: Any, views: Any, came: Any) -> Any:
    sides = [ratio_estimate(moments_of(seen & side, views, came), Ratio("purchase", "views")) for side in (~new, new)]
    return None if None in sides else relative_lift(sure(sides[0]), sure(sides[1]))


def test_moving_weights_make_a_null_look_like_disaster() -> None:
    world = ramp_world(1, weights_move=True, users=12_000)
    seen, new, views, came = naive_look(world, 110.0)
    lift = lift_between(seen, new, views, came)
    assert lift.value < -0.15
    assert lift.z < -4


def look(totals: UserTotals, watermark_ms: int, plan: SequentialPlan) -> Verdict:
    moments = totals.moments(watermark_ms)
    exposed = sum(totals.exposed().values())
    final = sum(each.count for each in moments.values())
    guardrails = []
    if {"control", "new"} <= moments.keys():
        sides = [ratio_estimate(moments[arm], Ratio("purchase", "views")) for arm in ("control", "new")]
        effect = None if None in sides else relative_lift(sure(sides[0]), sure(sides[1]))
        if effect is not None and final >= 100:
            guardrails = [Guardrail("purchase rate", confidence_sequence(effect, plan))]
    return decide(Evidence(users_exposed=exposed, users_final=final, users_expected=6000, guardrails=guardrails))


@pytest.mark.parametrize(("effect", "fires"), [(1.0, False), (0.6, True)])
def test_the_null_ramp_never_rolls_back_and_real_harm_does(effect: float, fires: bool) -> None:
    plan = SequentialPlan(alpha=0.01, expected_users=4000, side="below")
    fired = 0
    for seed in range(4):
        first, enrolled, new, views, bought, _ = ramp_world(seed, effect)
        totals = UserTotals(("views", "purchase"), 0, 6 * HOUR, 36 * HOUR)
        for user in np.flatnonzero(enrolled):
            arm, when = ("new" if new[user] else "control"), int(first[user] * HOUR)
            totals.add(str(user), arm, when, {"views": views[user], "purchase": bought[user]})
        verdicts = [look(totals, hour * HOUR, plan) for hour in range(6, 166, 8)]
        fired += any(verdict.calls_for_rollback for verdict in verdicts)
        assert verdicts[1].status is Status.WAITING_FOR_LABELS
    assert fired == (4 if fires else 0)
