"""Label maturity: truncation, completeness, corrected figures, event-time windows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from springtide.quality.label_maturity import DelayCurve, inverse_completeness
from springtide.quality.quality_book import QualityBook, QualityKey, QualityWindow
from springtide.quality.segment_maturity import SegmentedDelayCurve
from springtide.quality.task_quality import TaskQuality

HOUR = 3_600_000
WINDOW = 12 * HOUR


def delays(rng: np.random.Generator, count: int, mean_hours: float = 6.0) -> Any:
    """Exponential delays conditioned on the window, in ms."""
    cut = 1.0 - np.exp(-12.0 / mean_hours)
    return -mean_hours * np.log1p(-rng.random(count) * cut) * HOUR


def sure(value: Any) -> Any:
    assert value is not None
    return value


def truth(ages_ms: Any, mean_hours: float = 6.0) -> Any:
    share = (1.0 - np.exp(-np.minimum(ages_ms, WINDOW) / HOUR / mean_hours)) / (1.0 - np.exp(-12.0 / mean_hours))
    return np.clip(share, 0.0, 1.0)


def test_closed_cohorts_give_the_empirical_distribution() -> None:
    rng = np.random.default_rng(1)
    curve = DelayCurve(WINDOW)
    curve.add(delays(rng, 50_000))
    ages = np.array([0.25, 1, 3, 6, 9, 12, 40]) * HOUR
    np.testing.assert_allclose(sure(curve.completeness(ages)), truth(ages), atol=0.01)
    assert curve.quantile_ms(0.5) == pytest.approx(np.median(delays(rng, 50_000)), rel=0.03)
    assert sure(curve.completeness([0.0]))[0] == 0.0


def test_truncated_labels_need_their_ages() -> None:
    rng = np.random.default_rng(2)
    delay, age = delays(rng, 80_000), rng.uniform(0, 13 * HOUR, 80_000)
    seen = delay <= age
    aware, naive = DelayCurve(WINDOW), DelayCurve(WINDOW)
    aware.add(delay[seen], age[seen])
    naive.add(delay[seen])
    ages = np.array([1, 3, 6, 9]) * HOUR
    np.testing.assert_allclose(sure(aware.completeness(ages)), truth(ages), atol=0.02)
    assert (sure(naive.completeness(ages)) - truth(ages)).max() > 0.08


def test_curve_merges_and_survives_json() -> None:
    rng = np.random.default_rng(4)
    parts = [DelayCurve(WINDOW) for _ in range(3)]
    for part in parts:
        part.add(delays(rng, 100))
    left = parts[0].merge(parts[1]).merge(parts[2])
    right = parts[0].merge(parts[1].merge(parts[2]))
    assert left.to_dict() == right.to_dict()
    assert DelayCurve.from_dict(json.loads(json.dumps(left.to_dict()))).to_dict() == left.to_dict()
    with pytest.raises(ValueError, match="equal window"):
        left.merge(DelayCurve(WINDOW * 2))


def test_odd_delays_are_counted_not_lost() -> None:
    curve = DelayCurve(WINDOW)
    curve.add([-5.0, 10.0, WINDOW, WINDOW + 1.0])
    assert (curve.count, curve.negative_delays, curve.outside_window) == (3, 1, 1)
    assert DelayCurve(WINDOW).completeness([HOUR]) is None
    assert DelayCurve(WINDOW).quantile_ms(0.5) is None
    with pytest.raises(ValueError, match="age >= delay"):
        curve.add([10.0], [5.0])


def world(rng: np.random.Generator, rows: int, dependent: bool = False) -> tuple[Any, ...]:
    """Rows of a perfect model watched mid-flight: p, true label, label so far, age, segment."""
    p = np.exp(rng.normal(-2.3, 0.9, rows)).clip(1e-4, 0.6)
    late = dependent & (p > np.median(p))
    label = rng.random(rows) < p
    delay = np.where(late, delays(rng, rows, 12.0), delays(rng, rows, 3.0 if dependent else 6.0))
    age = rng.uniform(0.0, WINDOW, rows)
    return p, label, label & (delay <= age), age, np.where(late, "likely", "unlikely"), delay


def test_inverse_completeness_repairs_calibration_within_one_percent() -> None:
    rng = np.random.default_rng(6)
    p, label, seen, age, _, _ = world(rng, 500_000)
    curve = DelayCurve(WINDOW)
    curve.add(delays(rng, 200_000))
    corrected, kept = inverse_completeness(seen, sure(curve.completeness(age)))
    quality, oracle, naive = TaskQuality(), TaskQuality(), TaskQuality()
    quality.update(p[kept], corrected[kept])
    oracle.update(p[kept], label[kept])
    naive.update(p, seen)
    assert sure(quality.report().calibration) == pytest.approx(oracle.report().calibration, rel=0.01)
    assert quality.report().normalized_entropy == pytest.approx(oracle.report().normalized_entropy, rel=0.01)
    assert sure(naive.report().calibration) > 1.5
    assert sure(naive.report().log_loss) < sure(oracle.report().log_loss)


def test_a_delay_that_follows_the_score_needs_segments() -> None:
    rng = np.random.default_rng(7)
    p, label, seen, age, segment, _ = world(rng, 600_000, dependent=True)
    _, closed, _, _, past_segment, past_delay = world(rng, 600_000, dependent=True)
    curves = SegmentedDelayCurve(WINDOW)
    curves.add(past_delay[closed], past_segment[closed])

    def error(completeness: Any) -> float:
        corrected, kept = inverse_completeness(seen, completeness)
        kept &= segment == "likely"
        return float(abs(corrected[kept].sum() / label[kept].sum() - 1.0))

    assert error(curves.completeness(age, segment)) < 0.015
    assert error(curves.pooled().completeness(age)) > 0.03
    again = SegmentedDelayCurve.from_dict(json.loads(json.dumps(curves.merge(curves).to_dict())))
    assert again.pooled().count == 2 * curves.pooled().count


def test_small_segments_lean_on_the_pooled_curve() -> None:
    curves = SegmentedDelayCurve(WINDOW, min_labels=10)
    assert curves.completeness([HOUR], ["a"]) is None
    curves.add([HOUR] * 20 + [10 * HOUR], ["big"] * 20 + ["tiny"])
    both = sure(curves.completeness([2 * HOUR, 2 * HOUR], ["big", "tiny"]))
    assert both[0] == 1.0
    assert both[1] == pytest.approx(20 / 21)


def test_window_ring_is_event_time() -> None:
    window = QualityWindow(slot_ms=HOUR, slots=3)
    window.update([0.5] * 3, [1, 0, 1], [0, HOUR, 2 * HOUR])
    assert window.over().rows == 3
    window.update([0.5], [1], [4 * HOUR])
    assert window.over().rows == 2
    window.update([0.5], [1], [HOUR])
    assert window.rows_too_old == 1
    assert window.over(window_ms=HOUR).rows == 1
    assert window.over(window_ms=HOUR, until_ms=3 * HOUR).rows == 1
    assert [start for start, _ in window.series()] == [2 * HOUR, 4 * HOUR]
    window.update([], [], [])
    assert window.over().rows == 2


def test_book_pools_versions_and_forgets_the_stalest() -> None:
    book = QualityBook(slot_ms=HOUR, slots=4, max_keys=2)
    old, new = (QualityKey("click", "matured", "control", version) for version in ("v1", "v2"))
    book.update(old, [0.2], [0], [0])
    book.update(new, [0.2], [1], [HOUR])
    assert book.pooled("click", "matured").rows == 2
    assert book.pooled("click", "matured", arm="other").rows == 0
    assert book.pooled("click", "matured", window_ms=HOUR).rows == 1
    assert book.pooled("click", "corrected").rows == 0
    book.update(QualityKey("cart", "matured"), [0.2], [0], [HOUR])
    assert old not in book.windows
    assert book.keys_dropped == 1
    again = QualityBook.from_dict(json.loads(json.dumps(book.to_dict())))
    assert again.to_dict() == book.to_dict()
