"""Moments, delta method, lift, CUPED, SRM and corrections against tea-tasting, scipy and hand values."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting as tt
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, false_discovery_control

from springtide.experiments.cuped import adjust
from springtide.experiments.lift import Estimate, Ratio, absolute_difference, ratio_estimate, relative_lift
from springtide.experiments.moments import Moments
from springtide.experiments.multiple_testing import benjamini_hochberg, holm
from springtide.experiments.srm import Phase, chi_square_p, expected_counts

CLICKS = Ratio("clicks", "views")
CLICKS_BEFORE = Ratio("before_clicks", "before_views")


def users(seed: int = 0, count: int = 3000, lift: float = 1.1) -> tuple[Any, dict[str, Any]]:
    """Two arms of users with heavy-tailed activity and a covariate from before."""
    rng = np.random.default_rng(seed)
    taste = rng.lognormal(0.0, 0.6, count)
    arm = rng.integers(0, 2, count)
    columns = {
        "views": rng.poisson(20 * rng.lognormal(0, 0.5, count)) + 1,
        "before_views": rng.poisson(15 * rng.lognormal(0, 0.5, count)) + 1,
    }
    columns["clicks"] = rng.poisson(columns["views"] * 0.05 * taste * np.where(arm == 1, lift, 1.0))
    columns["before_clicks"] = rng.poisson(columns["before_views"] * 0.05 * taste)
    return arm, columns


def sure(value: Any) -> Any:
    assert value is not None
    return value


def arms(arm: Any, columns: dict[str, Any]) -> list[Moments]:
    return [Moments.of(**{name: values[arm == side] for name, values in columns.items()}) for side in (0, 1)]


def oracle(arm: Any, columns: dict[str, Any], metric: Any) -> Any:
    table = pa.table({"variant": arm, **columns})
    return tt.Experiment(metric=metric).analyze(table)["metric"]


def test_delta_method_equals_tea_tasting() -> None:
    arm, columns = users()
    control, treatment = (sure(ratio_estimate(side, CLICKS)) for side in arms(arm, columns))
    mine = absolute_difference(control, treatment)
    theirs = oracle(arm, columns, tt.RatioOfMeans("clicks", "views", use_t=False, equal_var=False))
    assert mine.value == pytest.approx(theirs.effect_size, rel=1e-9)
    assert mine.z == pytest.approx(theirs.statistic, rel=1e-9)
    assert mine.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert mine.low == pytest.approx(theirs.effect_size_ci_lower, rel=1e-9)
    assert mine.high == pytest.approx(theirs.effect_size_ci_upper, rel=1e-9)


@pytest.mark.parametrize("per_user", [False, True])
def test_cuped_equals_tea_tasting(per_user: bool) -> None:
    arm, columns = users(seed=4)
    metric = Ratio("clicks") if per_user else CLICKS
    before = Ratio("before_clicks") if per_user else CLICKS_BEFORE
    control, treatment = arms(arm, columns)
    mine = sure(adjust(control, treatment, metric, before))
    spec = (
        tt.Mean("clicks", "before_clicks", use_t=False, equal_var=False)
        if per_user
        else tt.RatioOfMeans("clicks", "views", "before_clicks", "before_views", use_t=False, equal_var=False)
    )
    theirs = oracle(arm, columns, spec)
    difference = absolute_difference(mine.control, mine.treatment)
    assert mine.control.value == pytest.approx(theirs.control, rel=1e-9)
    assert difference.value == pytest.approx(theirs.effect_size, rel=1e-9)
    assert difference.z == pytest.approx(theirs.statistic, rel=1e-9)
    assert 0.3 < mine.variance_kept < 0.95


def test_a_useless_covariate_changes_nothing() -> None:
    arm, columns = users(seed=5)
    columns["before_clicks"] = np.ones(len(arm))
    control, treatment = arms(arm, columns)
    mine = sure(adjust(control, treatment, Ratio("clicks"), Ratio("before_clicks")))
    assert mine.theta == 0.0
    assert mine.control == ratio_estimate(control, Ratio("clicks"))
    assert adjust(control, Moments.empty(control.columns), CLICKS, CLICKS_BEFORE) is None


def test_binomial_errors_would_be_too_small() -> None:
    arm, columns = users(seed=6)
    estimate = sure(ratio_estimate(arms(arm, columns)[0], CLICKS))
    views = columns["views"][arm == 0].sum()
    naive = np.sqrt(estimate.value * (1 - estimate.value) / views)
    assert estimate.standard_error > 1.2 * naive


def test_relative_lift_by_hand_and_below_zero() -> None:
    lift = sure(relative_lift(Estimate(2.0, 0.04, 10), Estimate(3.0, 0.09, 12)))
    assert lift.value == pytest.approx(0.5)
    assert lift.standard_error == pytest.approx(np.sqrt(0.09 / 4 + 9 * 0.04 / 16))
    assert lift.users == 22
    assert sure(relative_lift(Estimate(-2.0, 0.04, 10), Estimate(-1.0, 0.04, 10))).value == pytest.approx(0.5)
    assert relative_lift(Estimate(0.0, 0.1, 10), Estimate(1.0, 0.1, 10)) is None


def test_relative_lift_interval_covers() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        sides = [Moments.of(y=rng.poisson(rate * rng.gamma(2, 0.5, 400)).astype(float)) for rate in (2.0, 2.4)]
        lift = sure(relative_lift(*(sure(ratio_estimate(side, Ratio("y"))) for side in sides)))
        covered += lift.low <= 0.2 <= lift.high
    assert 0.92 <= covered / 400 <= 0.98


VALUES = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), max_size=10)


@settings(max_examples=30, deadline=None)
@given(a=VALUES, b=VALUES, c=VALUES)
def test_moments_merge_as_one_pass(a: list[Any], b: list[Any], c: list[Any]) -> None:
    def of(rows: list[Any]) -> Moments:
        return Moments.of(x=[row[0] for row in rows], y=[row[1] for row in rows])

    left, right = of(a).merge(of(b)).merge(of(c)), of(a).merge(of(b).merge(of(c)))
    whole = of(a + b + c)
    for each in (left, right):
        assert each.count == whole.count
        np.testing.assert_allclose(each.mean_K, whole.mean_K, atol=1e-9)
        np.testing.assert_allclose(each.comoment_KK, whole.comoment_KK, rtol=1e-6, atol=1e-4)
    again = Moments.from_dict(json.loads(json.dumps(whole.to_dict())))
    assert again.to_dict() == whole.to_dict()


def test_too_little_data_is_none_and_bad_data_an_error() -> None:
    assert ratio_estimate(Moments.of(x=[1.0]), Ratio("x")) is None
    assert ratio_estimate(Moments.of(x=[1.0, 2.0], n=[0.0, 0.0]), Ratio("x", "n")) is None
    with pytest.raises(ValueError, match="one length"):
        Moments.of(x=[1.0], y=[1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        Moments.of(x=[float("nan")])
    with pytest.raises(ValueError, match="use one order"):
        Moments.of(x=[1.0]).merge(Moments.of(y=[1.0]))


def test_sample_ratio_equals_tea_tasting_and_scipy() -> None:
    counts = {"control": 10_210, "new": 9_790}
    mine = chi_square_p([Phase({"control": 1, "new": 1}, counts)])
    arm = np.repeat([0, 1], list(counts.values()))
    table = pa.table({"variant": arm})
    theirs = tt.Experiment(srm=tt.SampleRatio(method="norm", correction=False)).analyze(table)["srm"].pvalue
    assert mine == pytest.approx(theirs, rel=1e-9)
    three = chi_square_p([Phase({"a": 2, "b": 1, "c": 1}, {"a": 480, "b": 260, "c": 260})])
    assert three == pytest.approx(chisquare([480, 260, 260], [500, 250, 250]).pvalue, rel=1e-9)


def test_sample_ratio_adds_up_phases() -> None:
    phases = [
        Phase({"control": 0.99, "new": 0.01}, {"control": 9_900, "new": 100}),
        Phase({"control": 0.5, "new": 0.5}, {"control": 5_000, "new": 5_000}),
    ]
    assert expected_counts(phases) == {"control": pytest.approx(14_900), "new": pytest.approx(5_100)}
    assert chi_square_p(phases) == pytest.approx(1.0)
    assert sure(chi_square_p([Phase({"control": 1, "new": 1}, {"control": 14_900, "new": 5_100})])) < 1e-100
    assert chi_square_p([Phase({"control": 1, "new": 1}, {"control": 3, "new": 2})]) is None


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_corrections_keep_order_and_bounds(p: list[float]) -> None:
    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert all(raw <= new <= 1.0 for raw, new in zip(p, adjusted, strict=True))
    assert all(a >= b - 1e-12 for a, b in zip(holm(p), benjamini_hochberg(p), strict=True))
    if p:
        np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), atol=1e-12)


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    with pytest.raises(ValueError, match="within"):
        holm([1.2])
