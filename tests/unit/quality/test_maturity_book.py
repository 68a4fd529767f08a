"""Three states kept apart, held against simulated labels that are late."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from springtide.quality.calibration import Calibration
from springtide.quality.label_maturity import inverse_completeness
from springtide.quality.maturity_book import STATES, MaturityBook, ScoredRows
from springtide.quality.quality_book import QualityBook, QualityKey
from springtide.quality.segment_maturity import SegmentedDelayCurve

HOUR = 3_600_000
WINDOW = 24 * HOUR
LOOK = 4 * HOUR
"""Age at which young rows are looked at."""
SEGMENTS = np.array(["phone", "desktop"])
MEAN = np.array([3.0, 18.0])
"""Hours that labels take, per segment."""
RATE = np.array([0.08, 0.3])


def rows(rng: np.random.Generator, count: int, time_ms: int, rate: float = 1.0) -> tuple[ScoredRows, Any, Any]:
    """Rows of a model that is right on the whole, their labels in the end, and the delays (-1: none)."""
    segment_N = rng.integers(0, 2, count)
    p_N = RATE[segment_N] * rng.uniform(0.4, 1.6, count)
    label_N = (rng.random(count) < p_N * rate).astype(float)
    mean_N = MEAN[segment_N]
    cut_N = 1.0 - np.exp(-24.0 / mean_N)
    delay_N = -mean_N * np.log1p(-rng.random(count) * cut_N) * HOUR
    made = ScoredRows(
        probabilities_N=p_N, labels_N=label_N, times_ms_N=np.full(count, time_ms, np.int64),
        segments_N=SEGMENTS[segment_N], versions_N=np.where(rng.random(count) < 0.5, "minute-1", "minute-2"),
    )  # fmt: skip
    return made, label_N, np.where(label_N > 0.0, delay_N, -1.0)


def young(scored: ScoredRows, delay_N: Any) -> ScoredRows:
    """The rows as they look at age LOOK."""
    seen_N = ((delay_N >= 0.0) & (delay_N <= LOOK)).astype(float)
    return ScoredRows(
        probabilities_N=scored.probabilities_N, labels_N=seen_N, times_ms_N=scored.times_ms_N,
        segments_N=scored.segments_N, versions_N=scored.versions_N,
    )  # fmt: skip


def filled(seed: int, count: int = 40_000, rate: float = 1.0) -> tuple[MaturityBook, Any, ScoredRows]:
    """Yesterday's rows matured; today's looked at when they were young, at `rate` times what the model believes."""
    rng = np.random.default_rng(seed)
    book = MaturityBook("purchase", WINDOW, HOUR, WINDOW)
    past, _, past_delay_N = rows(rng, 40_000, 0)
    book.add_matured(past, past_delay_N)
    scored, label_N, delay_N = rows(rng, count, 40 * HOUR, rate)
    book.add_young(young(scored, delay_N), np.full(count, float(LOOK)))
    return book, label_N, scored


def test_after_a_change_matured_rows_mislead_and_corrected_ones_do_not() -> None:
    """The rate has halved since yesterday: matured rows still say all is well, the model's own estimate too."""
    book, label_N, scored = filled(1, rate=0.5)
    truth = float(scored.probabilities_N.sum() / label_N.sum())
    assert truth > 1.9
    assert book.quality("matured").report().calibration == pytest.approx(1.0, abs=0.03)
    corrected = book.quality("corrected").report()
    low, high = corrected.calibration_interval or (0.0, 0.0)
    assert low <= truth <= high
    assert high - low < 0.25 * truth
    assert corrected.auc == pytest.approx(auc(scored, label_N), abs=0.02)
    assert book.quality("estimated").report().calibration == pytest.approx(1.0)


def auc(scored: ScoredRows, label_N: Any) -> float:
    exact = QualityBook(HOUR, 100)
    exact.update(QualityKey("purchase", "matured"), scored.probabilities_N, label_N, scored.times_ms_N)
    return exact.pooled("purchase", "matured").report().auc or 0.0


def test_labels_so_far_alone_lie_and_the_interval_of_the_corrected_ones_holds_the_truth_over_200_seeds() -> None:
    """95 % of 200 is 190; by the binomial law fewer than 180 come once in a thousand."""
    rng = np.random.default_rng(2)
    curves = SegmentedDelayCurve(WINDOW)
    past, _, past_delay_N = rows(rng, 300_000, 0)
    come_N = past_delay_N >= 0.0
    curves.add(past_delay_N[come_N], past.segments_N[come_N].tolist())
    hits = 0
    for seed in range(200):
        scored, _, delay_N = rows(np.random.default_rng(1_000 + seed), 2_000, 0)
        seen = young(scored, delay_N)
        completeness_N = curves.completeness(np.full(2_000, float(LOOK)), scored.segments_N.tolist())
        assert completeness_N is not None
        corrected_N, kept_N = inverse_completeness(seen.labels_N, completeness_N)
        assert kept_N.all()
        corrected, naive = Calibration(), Calibration()
        corrected.update(scored.probabilities_N, corrected_N)
        naive.update(scored.probabilities_N, seen.labels_N)
        low, high = corrected.interval() or (0.0, 0.0)
        hits += low <= 1.0 <= high
        assert (naive.interval() or (0.0, 0.0))[0] > 1.0
    assert 180 <= hits <= 199


def test_each_segment_is_corrected_by_its_own_curve() -> None:
    book, label_N, scored = filled(3, count=120_000)
    found = book.by_segment("corrected")
    assert set(found) == set(SEGMENTS)
    for segment, quality in found.items():
        own_N = scored.segments_N == segment
        truth = float(scored.probabilities_N[own_N].sum() / label_N[own_N].sum())
        assert quality.report().calibration == pytest.approx(truth, rel=0.06), segment
    own, pooled = (curve.completeness([LOOK]) for curve in (book.curves.curves["desktop"], book.curves.pooled()))
    assert own is not None
    assert pooled is not None
    assert own[0] / pooled[0] < 0.85  # one curve for all would tell so many desktop labels too few


def test_states_are_not_mixed_and_parts_add_up() -> None:
    book, _, _ = filled(4, count=5_000)
    for state in STATES:
        whole = book.quality(state)
        for parts in (book.by_segment(state), book.by_version(state)):
            assert sum(part.rows for part in parts.values()) == whole.rows
            assert sum(part.entropy.sum_label for part in parts.values()) == pytest.approx(whole.entropy.sum_label)
    assert set(book.by_version("matured")) == {"minute-1", "minute-2"}
    assert book.quality("matured").rows == 40_000
    assert book.quality("estimated").rows == 5_000
    assert book.quality("estimated").report().calibration == pytest.approx(1.0)


def test_before_the_first_label_has_come_nothing_is_corrected() -> None:
    rng = np.random.default_rng(5)
    book = MaturityBook("purchase", WINDOW, HOUR, WINDOW)
    scored, _, delay_N = rows(rng, 100, 0)
    book.add_young(young(scored, delay_N), np.full(100, float(LOOK)))
    assert book.quality("corrected").rows == 0
    assert book.quality("estimated").rows == 100


def test_rows_that_are_too_young_are_left_to_the_estimate() -> None:
    rng = np.random.default_rng(6)
    book = MaturityBook("purchase", WINDOW, HOUR, WINDOW)
    past, _, past_delay_N = rows(rng, 20_000, 0)
    book.add_matured(past, past_delay_N)
    scored, _, delay_N = rows(rng, 1_000, HOUR)
    book.add_young(young(scored, delay_N), np.full(1_000, 60_000.0))
    assert book.quality("corrected").rows == 0
    assert book.quality("estimated").rows == 1_000
