"""Mergeable measures: hand values, merge laws, and the traps that made them necessary."""

from __future__ import annotations

import json
from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from springtide.quality.auc import HistogramAuc, exact_auc
from springtide.quality.calibration import Calibration, poisson_interval
from springtide.quality.gauc import GroupedAuc
from springtide.quality.log_loss import LogLoss
from springtide.quality.normalized_entropy import NormalizedEntropy
from springtide.quality.population_stability import PopulationStability
from springtide.quality.rows import as_rows
from springtide.quality.task_quality import TaskQuality

MEASURES = [LogLoss, NormalizedEntropy, Calibration, HistogramAuc]
ROWS = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0]), st.floats(0.1, 3.0)), min_size=0, max_size=12
)


def filled(kind: Any, rows: list[Any]) -> Any:
    measure = kind()
    if rows:
        measure.update(*map(list, zip(*rows, strict=True)))
    return measure


def sure(value: Any) -> Any:
    assert value is not None
    return value


def same(left: Any, right: Any) -> None:
    assert left.to_dict().keys() == right.to_dict().keys()
    for key, value in left.to_dict().items():
        np.testing.assert_allclose(value, right.to_dict()[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", MEASURES)
@settings(max_examples=25, deadline=None)
@given(a=ROWS, b=ROWS, c=ROWS)
def test_merge_is_associative_and_equals_one_pass(kind: Any, a: list[Any], b: list[Any], c: list[Any]) -> None:
    one, two, three = (filled(kind, rows) for rows in (a, b, c))
    same(one.merge(two).merge(three), one.merge(two.merge(three)))
    same(one.merge(two), two.merge(one))
    same(one.merge(two).merge(three), filled(kind, a + b + c))


@pytest.mark.parametrize("kind", [*MEASURES, TaskQuality])
def test_state_survives_json(kind: Any) -> None:
    measure = filled(kind, [(0.2, 1.0, 1.0), (0.7, 0.0, 2.0)])
    state = json.loads(json.dumps(measure.to_dict()))
    assert kind.from_dict(state).to_dict() == measure.to_dict()


@pytest.mark.parametrize("kind", MEASURES)
def test_no_data_is_none(kind: Any) -> None:
    assert kind().value is None


def test_hand_values() -> None:
    p, y = [0.5, 0.25, 0.25], [1, 0, 0]
    loss = -(log(0.5) + 2 * log(0.75)) / 3
    rate = -(log(1 / 3) / 3 + 2 * log(2 / 3) / 3)
    report = filled(TaskQuality, list(zip(p, y, [1, 1, 1], strict=True))).report()
    assert report.log_loss == pytest.approx(loss)
    assert report.normalized_entropy == pytest.approx(loss / rate)
    assert report.calibration == pytest.approx(1.0)
    assert report.auc == 1.0
    assert (report.rows, report.positives) == (3, 1.0)


def test_entropy_against_a_frozen_rate_sees_a_moving_rate() -> None:
    measure = filled(NormalizedEntropy, [(0.5, 1.0, 1.0), (0.5, 0.0, 1.0)])
    assert measure.value == pytest.approx(1.0)
    assert measure.against(0.1) == pytest.approx(log(2) / -(0.1 * log(0.1) + 0.9 * log(0.9)))
    assert measure.against(0.0) is None


def test_one_class_gives_no_auc_and_no_entropy() -> None:
    measure = filled(TaskQuality, [(0.3, 0.0, 1.0)] * 5).report()
    assert (measure.auc, measure.normalized_entropy, measure.calibration) == (None, None, None)
    assert measure.log_loss == pytest.approx(-log(0.7))


def test_poisson_interval_matches_the_printed_table() -> None:
    low, high = poisson_interval(10, 0.95)
    assert low == pytest.approx(4.795, abs=1e-3)
    assert high == pytest.approx(18.390, abs=1e-3)
    assert poisson_interval(0, 0.95)[0] == 0.0


def test_calibration_interval_covers_at_its_level() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        p = rng.uniform(0.005, 0.03, 3000)
        measure = Calibration()
        measure.update(p, rng.random(3000) < p)
        low, high = sure(measure.interval(0.95))
        covered += low <= 1.0 <= high
    assert 0.93 <= covered / 400 <= 0.99


def test_histogram_auc_is_within_a_thousandth_of_exact() -> None:
    rng = np.random.default_rng(5)
    for centre in (-2.2, -3.9, -4.6):
        logits = rng.normal(centre, 0.9, 60_000)
        labels = (rng.random(60_000) < expit(logits)).astype(float)
        measure = HistogramAuc()
        measure.update(expit(logits), labels)
        assert measure.value == pytest.approx(exact_auc(logits, labels), abs=1e-3)


SKEWED = {
    "rare": lambda rng: rng.beta(0.3, 30.0, 60_000),
    "heavy tail": lambda rng: np.clip(0.002 * (rng.pareto(1.2, 60_000) + 1.0), 0.0, 1.0),
    "nearly constant": lambda rng: expit(rng.normal(-3.9, 0.2, 60_000)),
    "two kinds of rows": lambda rng: expit(np.where(rng.random(60_000) < 0.97, -6.0, 0.0) + rng.normal(0, 0.3, 60_000)),
    "saturated": lambda rng: expit(rng.normal(9.0, 2.0, 60_000)),
    "ties": lambda rng: rng.choice([0.01, 0.0101, 0.3], 60_000),
}


@pytest.mark.parametrize("name", SKEWED)
@pytest.mark.parametrize("truth", ["calibrated", "steeper"])
def test_every_figure_is_within_a_thousandth_of_exact_on_skewed_scores(name: str, truth: str) -> None:
    """Held against scikit-learn; `steeper`: likely rows are four times likelier than told, so order counts."""
    rng = np.random.default_rng(15)
    p = SKEWED[name](rng)
    steep = np.clip(p * (1.0 + 3.0 * (p > np.median(p))), 0.0, 1.0)
    y = (rng.random(len(p)) < (p if truth == "calibrated" else steep)).astype(float)
    halves = [TaskQuality(), TaskQuality()]
    for part, rows in zip(halves, (slice(0, 20_000), slice(20_000, None)), strict=True):
        part.update(p[rows], y[rows])
    report = halves[0].merge(TaskQuality.from_dict(json.loads(json.dumps(halves[1].to_dict())))).report()
    loss = sklearn_log_loss(y, p.clip(1e-7, 1 - 1e-7))
    assert report.auc == pytest.approx(roc_auc_score(y, p), abs=1e-3)
    assert report.log_loss == pytest.approx(loss, abs=1e-6)
    assert report.normalized_entropy == pytest.approx(loss / sklearn_log_loss(y, np.full(len(y), y.mean())), abs=1e-6)
    assert report.calibration == pytest.approx(p.sum() / y.sum(), rel=1e-9)


def test_a_state_without_offsets_still_loads_with_ties_inside_bins() -> None:
    rng = np.random.default_rng(16)
    p = expit(rng.normal(-3.9, 0.2, 20_000))
    measure = HistogramAuc()
    measure.update(p, rng.random(20_000) < p)
    old = {name: part for name, part in measure.to_dict().items() if not name.endswith("offsets")}
    again = HistogramAuc.from_dict(old)
    assert again.value == pytest.approx(sure(measure.value), abs=0.01)
    assert again.value != measure.value


def test_exact_auc_gives_ties_half_credit() -> None:
    assert exact_auc(np.array([0.1, 0.1, 0.9]), np.array([0.0, 1.0, 1.0])) == pytest.approx(0.75)


def test_gauc_weights_users_by_rows_and_reports_those_left() -> None:
    measure = GroupedAuc()
    measure.update([0.9, 0.1, 0.5, 0.5, 0.5, 0.9], [1, 0, 1, 0, 0, 0], ["a", "a", "b", "b", "b", "c"])
    value, share = measure.summary()
    assert value == pytest.approx((2 * 1.0 + 3 * 0.5) / 5)
    assert share == pytest.approx(2 / 3)
    assert GroupedAuc().value is None


GROUPED = st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0]), st.sampled_from("uvwxyz")), max_size=20)


@settings(max_examples=30, deadline=None)
@given(a=GROUPED, b=GROUPED, c=GROUPED)
def test_bounded_gauc_still_merges_associatively(a: list[Any], b: list[Any], c: list[Any]) -> None:
    def grouped(rows: list[Any]) -> GroupedAuc:
        measure = GroupedAuc(max_groups=3, max_rows_per_group=4)
        if rows:
            measure.update(*map(list, zip(*rows, strict=True)))
        return measure

    one, two, three = grouped(a), grouped(b), grouped(c)
    left, right = one.merge(two).merge(three), one.merge(two.merge(three))
    assert left.to_dict()["groups"] == right.to_dict()["groups"]
    assert left.rows_dropped == right.rows_dropped
    assert left.to_dict()["groups"] == grouped(a + b + c).to_dict()["groups"]


def test_merging_never_changes_an_operand() -> None:
    one, two = GroupedAuc(), GroupedAuc()
    one.update([0.1], [0], ["a"])
    one.merge(two).update([0.9], [1], ["a"])
    assert one.groups["a"].labels == [0.0]


def test_psi_alarm_knows_its_own_noise() -> None:
    rng = np.random.default_rng(11)
    reference = PopulationStability.from_reference(rng.normal(size=20_000))
    false_alarms = over_custom = 0
    for _ in range(400):
        live = PopulationStability.from_dict(reference.to_dict())
        live.update(rng.normal(size=150))
        false_alarms += bool(live.drifted)
        over_custom += sure(live.value) > 0.1
    assert false_alarms / 400 < 0.03
    assert over_custom > 2 * false_alarms
    shifted = PopulationStability.from_dict(reference.to_dict())
    shifted.update(rng.normal(0.7, 1.0, 2000))
    assert shifted.drifted
    assert reference.drifted is None
    one, two = (PopulationStability.from_dict(reference.to_dict()) for _ in range(2))
    one.update([0.0, 1.0])
    two.update([2.0])
    assert one.merge(two).live_B.sum() == 3
    with pytest.raises(ValueError, match="expected one reference"):
        one.merge(PopulationStability.from_reference(rng.normal(size=100)))


@pytest.mark.parametrize(
    ("p", "y", "w", "words"),
    [
        ([0.1], [1, 0], None, "labels_N: expected 1 rows, got 2"),
        ([1.2], [1], None, "in \\[0, 1\\]"),
        ([0.5], [-1], None, ">= 0"),
        ([0.5], [float("nan")], None, "finite"),
        ([[0.5]], [1], None, "shape"),
    ],
)
def test_bad_rows_are_refused_in_words(p: Any, y: Any, w: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        as_rows(p, y, w)
