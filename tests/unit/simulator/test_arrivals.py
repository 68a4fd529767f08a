"""Arrivals: volume, day and night, and no dependence on how time is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.arrivals import Arrivals, join
from simulator.population import make_population
from simulator.world import World
from tests.unit.simulator.conftest import SMALL

HOUR_MS = 3_600_000


def test_the_same_requests_however_time_is_cut(world: World) -> None:
    start, end = SMALL.start_ms, SMALL.end_ms + 6 * HOUR_MS
    whole = world.arrivals.between(start, end)
    cut = join([world.arrivals.between(at, at + 7 * 60_000) for at in range(start, end, 7 * 60_000)]).between(
        start, end
    )
    assert (whole.key == cut.key).all()
    assert (whole.time_ms == cut.time_ms).all()
    assert len(set(whole.key.tolist())) == len(whole)


def test_volume_is_as_set() -> None:
    config = replace(SMALL, users=2000, days=7.0, weekend=1.0)
    requests = Arrivals(config, make_population(config)).between(config.start_ms, config.end_ms)
    expected = config.users * config.sessions_per_day * config.requests_per_session * config.days
    assert 0.9 < len(requests) / expected < 1.1


def test_evenings_are_busier_than_nights_and_weekends_than_weekdays() -> None:
    config = replace(SMALL, users=2000, days=7.0, newcomers=0.0, weekend=1.5)
    requests = Arrivals(config, make_population(config)).between(config.start_ms, config.end_ms)
    hours = (requests.time_ms // HOUR_MS) % 24
    assert (hours == 20).sum() > 3 * (hours == 8).sum()
    days = np.bincount((requests.time_ms - config.start_ms) // (24 * HOUR_MS), minlength=7)
    assert days[5:7].mean() > 1.2 * days[:5].mean()


def test_newcomers_come_late() -> None:
    config = replace(SMALL, days=5.0, newcomers=0.5)
    population = make_population(config)
    requests = Arrivals(config, population).between(config.start_ms, config.end_ms)
    assert (requests.time_ms >= population.joined_ms[requests.user]).all()


def test_extra_traffic_stays_in_its_window_and_its_volume(world: World) -> None:
    start = SMALL.start_ms + 7 * HOUR_MS
    usual = world.arrivals.between(start, start + 3 * HOUR_MS)
    extra = world.arrivals.extra(start, start + 3 * HOUR_MS, 2.0, origin=99)
    assert extra.time_ms.min() >= start
    assert 1.5 < len(extra) / len(usual) < 2.5
    assert not set(extra.key.tolist()) & set(usual.key.tolist())


def test_bots_come_only_as_bots(world: World) -> None:
    bots = world.arrivals.bots(SMALL.start_ms, SMALL.start_ms + 6 * HOUR_MS, 0.5, origin=3)
    assert len(bots)
    assert world.choice.is_bot(bots.user).all()
    assert not world.choice.is_bot(world.arrivals.between(SMALL.start_ms, SMALL.end_ms).user).any()
