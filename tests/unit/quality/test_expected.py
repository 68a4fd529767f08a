"""Figures before any label: where they are right, how often their intervals hold, and what they cannot see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from springtide.quality.expected import expected_figures
from springtide.quality.task_quality import TaskQuality

FIGURES = ("base_rate", "log_loss", "ne", "auc")


def measured(p: Any, y: Any) -> dict[str, float]:
    quality = TaskQuality()
    quality.update(p, y)
    report = quality.report()
    values = (report.base_rate, report.log_loss, report.normalized_entropy, report.auc)
    return {name: value for name, value in zip(FIGURES, values, strict=True) if value is not None}


@pytest.mark.parametrize(("centre", "spread"), [(-2.2, 0.9), (-4.0, 1.2), (0.0, 2.0)])
def test_the_interval_holds_at_its_level_over_250_seeds(centre: float, spread: float) -> None:
    """250 draws at 95 %: by the binomial law fewer than 226 or more than 247 hits come twice in a thousand."""
    rng = np.random.default_rng(20)
    p = expit(rng.normal(centre, spread, 4_000))
    quality = TaskQuality()
    quality.update(p, p)
    expected = expected_figures(quality)
    hits = dict.fromkeys(FIGURES, 0)
    means = dict.fromkeys(FIGURES, 0.0)
    for _ in range(250):
        for name, value in measured(p, rng.random(len(p)) < p).items():
            hits[name] += expected[name].low <= value <= expected[name].high
            means[name] += value / 250
    for name in FIGURES:
        assert 226 <= hits[name] <= 248, (name, hits)
        assert means[name] == pytest.approx(expected[name].value, rel=0.01), name


def test_it_is_blind_to_a_change_of_concept() -> None:
    rng = np.random.default_rng(21)
    p = expit(rng.normal(-2.2, 0.9, 20_000))
    quality = TaskQuality()
    quality.update(p, p)
    told = expected_figures(quality)["base_rate"]
    halved = measured(p, rng.random(len(p)) < p / 2)["base_rate"]
    assert halved < told.low


def test_rows_that_cannot_answer_give_nothing() -> None:
    assert expected_figures(TaskQuality()) == {}
    sure = TaskQuality()
    sure.update([0.0, 0.0], [0.0, 0.0])
    assert expected_figures(sure) == {}


def test_a_lower_level_gives_a_narrower_interval() -> None:
    quality = TaskQuality()
    quality.update([0.1, 0.3, 0.6], [0.1, 0.3, 0.6])
    wide, narrow = (expected_figures(quality, level)["auc"] for level in (0.95, 0.5))
    assert wide.low < narrow.low < wide.value == narrow.value < narrow.high < wide.high
