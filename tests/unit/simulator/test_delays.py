"""Delays: the closed forms against draws, and the quantiles of the mixture."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.delays import within
from simulator.randomness import Draw, hashed
from simulator.world import World

COUNT = 100_000
HOUR_MS = 3_600_000.0


def rates_agree(drawn: float, expected: float) -> bool:
    return bool(abs(drawn - expected) < 4.5 * np.sqrt(max(expected * (1 - expected), 1e-6) / COUNT))


@pytest.mark.parametrize("means", [(10.0,), (10.0, 120.0), (10.0, 120.0, 900.0), (100.0, 100.0, 100.0)])
@pytest.mark.parametrize("window", [5.0, 60.0, 300.0, 3600.0])
def test_sums_of_exponentials(means: tuple[float, ...], window: float) -> None:
    rng = np.random.default_rng(3)
    total = np.sum([rng.exponential(mean, COUNT) for mean in means], axis=0)
    assert rates_agree(float((total <= window).mean()), float(within(window, *means)) + 1e-12)


@pytest.mark.parametrize("hours", [0.1, 0.5, 1.0, 6.0, 24.0, 72.0])
@pytest.mark.parametrize("by_cart", [True, False])
def test_purchase_delay_law(world: World, hours: float, by_cart: bool) -> None:
    keys = hashed(7, Draw.PAIR, np.arange(COUNT))
    pace = np.full(COUNT, 1.3)
    total = world.delays.click(keys) + world.delays.purchase(keys, pace)
    if by_cart:
        total = total + world.delays.cart(keys)
    expected = float(world.delays.purchase_by(hours * HOUR_MS, pace[:1], by_cart=by_cart)[0])
    assert rates_agree(float((total <= hours * HOUR_MS).mean()), expected)


def test_purchases_take_from_minutes_to_days(world: World) -> None:
    one = np.ones(1)
    by = [float(world.delays.purchase_by(hours * HOUR_MS, one, by_cart=True)[0]) for hours in (1, 24, 240)]
    assert 0.45 < by[0] < 0.65
    assert 0.85 < by[1] < 0.95
    assert by[2] > 0.99
