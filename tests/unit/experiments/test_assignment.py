"""Bucketing, layers and ramps of enrolment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from springtide.experiments.bucketing import BUCKETS, Experiment, Layer, Range, bucket, split

USERS = [f"user-{number}" for number in range(20_000)]


def experiment(name: str = "exp", low: float = 0.0, high: float = 1.0, **changes: Any) -> Experiment:
    reserved = Range(int(low * BUCKETS), int(high * BUCKETS))
    arms = split([("control", 0.5), ("new", 0.5)])
    return Experiment(**{"name": name, "salt": f"arm-{name}", "reserved": reserved, "arms": arms, **changes})


def test_buckets_are_frozen_and_uniform() -> None:
    assert bucket("layer", "user-1") == bucket("layer", "user-1")
    assert [bucket("s", "a"), bucket("s", "b"), bucket("t", "a")] == [297586, 75441, 788862]
    counts = np.bincount([bucket("s", user) * 50 // BUCKETS for user in USERS], minlength=50)
    assert chisquare(counts).pvalue > 1e-3


def test_experiments_with_different_salts_are_independent() -> None:
    one = [bucket("exp-1", user) < BUCKETS // 2 for user in USERS]
    two = [bucket("exp-2", user) < BUCKETS // 2 for user in USERS]
    table = np.zeros((2, 2))
    np.add.at(table, (np.array(one, int), np.array(two, int)), 1)
    assert chi2_contingency(table).pvalue > 1e-3


def test_a_layer_excludes_and_its_arms_keep_their_shares() -> None:
    layer = Layer(name="ranking", salt="l", experiments=(experiment("a", 0, 0.3), experiment("b", 0.3, 0.5)))
    assert list(layer.problems()) == []
    got = [layer.assign(user) for user in USERS]
    share = np.mean([each is not None for each in got])
    assert share == pytest.approx(0.5, abs=0.02)
    control = [each.arm == "control" for each in got if each and each.experiment == "a"]
    assert np.mean(control) == pytest.approx(0.5, abs=0.025)


@settings(max_examples=50, deadline=None)
@given(low=st.floats(0, 1), high=st.floats(0, 1), user=st.text(max_size=20))
def test_a_ramp_never_moves_a_user_who_is_in(low: float, high: float, user: str) -> None:
    low, high = sorted((low, high))
    before = Layer(name="l", salt="l", experiments=(experiment(enrolled=low),)).assign(user)
    after = Layer(name="l", salt="l", experiments=(experiment(enrolled=high),)).assign(user)
    assert before is None or before == after


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6))
def test_shares_split_without_gap_or_overlap(weights: list[float]) -> None:
    total = sum(weights)
    arms = split([(str(index), weight / total) for index, weight in enumerate(weights)])
    assert arms[0].range.start == 0
    assert arms[-1].range.end == BUCKETS
    assert all(one.range.end == two.range.start for one, two in zip(arms, arms[1:], strict=False))


def test_mistakes_are_told_in_words() -> None:
    with pytest.raises(ValueError, match="sum to at most 1"):
        split([("a", 0.7), ("b", 0.7)])
    same = Layer(name="l", salt="x", experiments=(experiment("a", 0, 0.6, salt="x"), experiment("b", 0.5, 1)))
    words = " ".join(same.problems())
    assert "distinct salts" in words
    assert "disjoint reserved ranges" in words
    broken = replace(experiment(), enrolled=2.0, reserved=Range(5, 2), arms=split([("a", 0.5), ("a", 0.5)]))
    assert len(list(broken.problems())) == 3
    overlapping = replace(experiment(), arms=(*split([("a", 0.6)]), *split([("b", 0.6)])))
    assert "a over b" in next(overlapping.problems())
