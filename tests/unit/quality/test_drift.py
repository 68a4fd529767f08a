"""The concept-drift alarm: silent while the model only wanders, quick and dated when the world changes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from river.drift import PageHinkley as RiverPageHinkley

from springtide.quality.change_point import PageHinkley
from springtide.quality.config import DAY_MS, HOUR_MS, DriftConfig
from springtide.quality.drift import DriftDetector, given_parent
from springtide.quality.residual_blocks import BlockCutter

Rows = tuple[Any, ...]
ROWS_PER_DAY = 43_200
DRIFT_DAY = 4.3


STAGES = {"click": (0.10, 43_200, 0.7), "cart": (0.20, 4_320, 0.4), "purchase": (0.11, 4_320, 0.5)}
"""Each task given its parent (impression, click, click): base rate, rows a day, spread of log p."""


def week(task: str, seed: int, factor: float = 1.0, wander: float = 0.05, days: float = 7.0) -> Rows:
    """Rows of a week: served p, label, impression time. The model's bias fades, wanders and breathes."""
    base_rate, rows_per_day, spread = STAGES[task]
    rng = np.random.default_rng(seed)
    chunks = int(288 * days)
    day = np.arange(chunks) / 288
    keep = np.exp(-1 / (288 * 0.3))
    drive = rng.normal(scale=wander * np.sqrt(1 - keep**2), size=chunks)
    wandering = np.convolve(drive, keep ** np.arange(600))[:chunks]
    fading = 0.5 * np.exp(-day / 0.5) * rng.choice([-1.0, 1.0])
    diurnal = wander * np.sin(2 * np.pi * (day + rng.random()))
    shift = fading + wandering + diurnal + np.log(factor) * (day >= DRIFT_DAY)
    rows = rows_per_day // 288
    p = np.clip(np.exp(rng.normal(-(spread**2) / 2, spread, chunks * rows)) * base_rate, 1e-4, 0.9)
    labels = rng.random(len(p)) < np.clip(p * np.repeat(np.exp(shift), rows), 0.0, 0.98)
    return p, labels, (np.arange(len(p)) * (DAY_MS / rows_per_day)).astype(np.int64)


def watch(rows: Rows, config: DriftConfig | None = None, chunk: int = 20_000) -> DriftDetector:
    detector = DriftDetector("click", config)
    for start in range(0, len(rows[0]), chunk):
        detector.update(*(column[start : start + chunk] for column in rows))
    return detector


@pytest.mark.parametrize("task", STAGES)
def test_without_drift_hardly_a_week_alarms(task: str) -> None:
    alarming = sum(bool(watch(week(task, seed)).alarms) for seed in range(10 if task == "click" else 30))
    assert alarming <= (0 if task == "click" else 1)


@pytest.mark.parametrize(("task", "bar_days"), [("click", 0.5), ("cart", 0.7), ("purchase", 1.0)])
@pytest.mark.parametrize("factor", [1.4, 0.6])
def test_a_change_of_forty_percent_is_found_in_time(task: str, bar_days: float, factor: float) -> None:
    delays = []
    for seed in range(10):
        after = [
            alarm
            for alarm in watch(week(task, seed, factor, days=6.0)).alarms
            if alarm.event_time_ms >= DRIFT_DAY * DAY_MS
        ]
        delays.append(after[0].event_time_ms / DAY_MS - DRIFT_DAY if after else np.inf)
        if after:
            assert after[0].direction == ("up" if factor > 1 else "down")
            assert abs(after[0].change_time_ms / DAY_MS - DRIFT_DAY) < 0.6
    print(f"{task} x{factor}: delays in days {np.round(sorted(delays), 2)}")
    assert np.sort(delays)[-2] <= bar_days


@pytest.mark.parametrize(("before", "alarms"), [(0.6, 0), (1.0, 1)])
def test_a_model_that_learns_to_predict_right_raises_no_alarm(before: float, alarms: int) -> None:
    """Labels rise from `before` of the predictions by 0.4 of these: to 1.0, or away from it."""
    p, _, times = week("purchase", 3, wander=0.0)
    rng = np.random.default_rng(5)
    share = np.where(times < DRIFT_DAY * DAY_MS, before, before + 0.4)
    labels = rng.random(len(p)) < p * share
    assert len(watch((p, labels, times)).alarms) == alarms


def adapting(seed: int, factor: float, hours: float) -> Rows:
    """A purchase drift that the served p follows within so many hours; 0 follows at once, as what is foreseen."""
    p, _, times = week("purchase", seed, wander=0.0, days=6.0)
    rng = np.random.default_rng(seed)
    since_N = np.maximum(0.0, times / HOUR_MS - 24 * DRIFT_DAY)
    labels = rng.random(len(p)) < p * np.where(since_N > 0.0, factor, 1.0)
    followed_N = 1.0 - np.exp(-since_N / hours) if hours else (since_N > 0.0).astype(float)
    return np.minimum(p * (1.0 + (factor - 1.0) * followed_N), 0.98), labels, times


def test_a_drift_that_the_model_follows_within_hours_is_found_in_the_rate() -> None:
    found = [watch(adapting(seed, 0.5, hours=6.0)).alarms for seed in range(10)]
    after = [alarms[-1] for alarms in found if alarms and alarms[-1].direction == "down"]
    assert len(after) >= 9
    assert sum(alarm.found_in == "rate" for alarm in after) > 5
    assert np.sort([alarm.event_time_ms / DAY_MS - DRIFT_DAY for alarm in after])[-2] < 1.5


def test_a_change_of_the_rate_that_was_foreseen_raises_no_alarm() -> None:
    foreseen = [watch(adapting(seed, factor, hours=0.0)).alarms for seed in range(20) for factor in (0.5, 1.4)]
    assert sum(bool(alarms) for alarms in foreseen) <= 4  # of 40: luck may look like surprise


def test_nothing_fires_in_the_warm_up() -> None:
    p, labels, times = week("click", 0)
    labels = labels | (times > 0.8 * DAY_MS) & (np.random.default_rng(0).random(len(p)) < 0.1)
    early = times < DriftConfig().warm_up_ms
    detector = watch((p[early], labels[early], times[early]))
    assert detector.alarms == []
    assert not detector.armed


def test_a_click_drift_leaves_the_conditional_purchase_alarm_silent() -> None:
    rng = np.random.default_rng(8)
    count = int(6.5 * ROWS_PER_DAY)
    times = (np.arange(count) * (DAY_MS / ROWS_PER_DAY)).astype(np.int64)
    clicked = rng.random(count) < np.where(times > 4 * DAY_MS, 0.16, 0.10)
    bought = clicked & (rng.random(count) < 0.10)
    p_click, p_buy = np.full(count, 0.10), np.full(count, 0.01)
    assert watch((p_click, clicked, times)).alarms
    assert watch((p_buy, bought, times)).alarms
    conditional, rows = given_parent(p_buy, p_click, clicked)
    np.testing.assert_allclose(conditional, 0.1)
    assert watch((conditional[rows], bought[rows], times[rows]), chunk=2000).alarms == []


FUNNEL = {"click": 0.10, "cart": 0.20, "purchase": 0.50}
"""Probability of each stage given the one before."""


def funnel_alarms(drifting: str, factor: float, seed: int) -> dict[str, list[float]]:
    """Run a drifting funnel through one alarm per task, each given its parent; alarm days by task."""
    rng = np.random.default_rng(seed)
    count = int(6.3 * ROWS_PER_DAY)
    times = (np.arange(count) * (DAY_MS / ROWS_PER_DAY)).astype(np.int64)
    parent, parent_p = np.ones(count, bool), np.ones(count)
    alarms = {}
    for task, rate in FUNNEL.items():
        given_p = np.clip(np.exp(rng.normal(-0.08, 0.4, count)) * rate, 1e-3, 0.95)
        world = np.where(times >= DRIFT_DAY * DAY_MS, factor if task == drifting else 1.0, 1.0)
        labels = parent & (rng.random(count) < np.clip(given_p * world, 0, 1))
        served = parent_p * given_p
        conditional, rows = given_parent(served, parent_p, parent)
        detector = watch((conditional[rows], labels[rows], times[rows]))
        alarms[task] = [alarm.event_time_ms / DAY_MS for alarm in detector.alarms]
        parent, parent_p = labels, served
    return alarms


@pytest.mark.parametrize("drifting", FUNNEL)
@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_only_the_right_task_alarms_and_only_after_the_drift(drifting: str, factor: float) -> None:
    for seed in range(2):
        alarms = funnel_alarms(drifting, factor, seed)
        assert all(not days for task, days in alarms.items() if task != drifting)
        assert DRIFT_DAY < alarms[drifting][0] < DRIFT_DAY + 1.0


def test_page_hinkley_decides_as_river_does() -> None:
    rng = np.random.default_rng(9)
    for _ in range(20):
        values = np.concatenate([rng.normal(size=150), rng.normal(rng.choice([-1, 1]), 1, 150)])
        mine = PageHinkley(delta=0.2, threshold=12.0, min_values=30)
        theirs = RiverPageHinkley(min_instances=30, delta=0.2, threshold=12.0, alpha=1.0)
        for index, value in enumerate(values):
            theirs.update(value)
            assert mine.update(value) == theirs.drift_detected, index
            if theirs.drift_detected:
                break
        else:
            pytest.fail("expected a detection in every series")


def test_adwin_finds_the_change_too() -> None:
    p, labels, times = week("click", 3, 1.6, wander=0.0)
    detector = watch((p, labels, times), DriftConfig(method="adwin"))
    assert detector.alarms
    assert detector.alarms[0].method == "adwin"
    assert 0.0 < detector.alarms[0].event_time_ms / DAY_MS - DRIFT_DAY < 0.5


def test_restored_mid_stream_it_ends_the_same() -> None:
    rows = week("cart", 1, 1.5)
    half = len(rows[0]) // 2 + 77
    first = watch(tuple(column[:half] for column in rows))
    again = DriftDetector.from_dict(json.loads(json.dumps(first.to_dict())))
    again.update(*(column[half:] for column in rows))
    assert again.alarms == watch(rows).alarms
    assert again.statistic == pytest.approx(watch(rows).statistic)
    assert again.to_dict()["rows_seen"] == watch(rows).rows_seen


def test_chunking_does_not_change_blocks() -> None:
    p, labels, times = week("click", 2, days=1.0)
    whole = BlockCutter(25.0, HOUR_MS).cut(p, labels, times)
    cutter = BlockCutter(25.0, HOUR_MS)
    pieces = [
        block
        for start in range(0, len(p), 331)
        for block in cutter.cut(*(column[start : start + 331] for column in (p, labels, times)))
    ]
    assert [(b.rows, b.labels, b.end_ms) for b in whole] == [(b.rows, b.labels, b.end_ms) for b in pieces]
    assert all(b.information >= 25.0 and b.end_ms - b.start_ms >= HOUR_MS for b in whole)
    assert sum(b.rows for b in whole) + cutter.open.rows == len(p)


def test_configuration_says_what_is_wrong() -> None:
    assert list(DriftConfig().problems()) == []
    bad = DriftConfig(
        method="magic", threshold=0.0, tolerated_shift=1.0, warm_up_ms=-1, adwin_delta=0.0, rate_threshold=0.0
    )
    assert len(list(bad.problems())) == 6
