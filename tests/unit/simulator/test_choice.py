"""Examination and the funnel."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.choice import EXAMINATION, examination
from simulator.effects import Effects
from simulator.world import World


def test_examination_falls_and_severity_flattens_it() -> None:
    positions = np.arange(1, 31)
    published = examination(positions, 1.0)
    assert published[:10] == pytest.approx(EXAMINATION)
    assert (np.diff(published) < 0).all()
    assert examination(positions, 0.0) == pytest.approx(np.ones(30))
    assert (examination(positions, 0.5) > published).all()


def test_the_funnel_composes(world: World) -> None:
    users, items = np.arange(200), np.arange(200)
    chances = world.choice.probabilities(users, items, Effects())
    assert chances.purchase == pytest.approx(
        chances.cart * chances.cart_purchase + (1 - chances.cart) * chances.direct_purchase
    )
    for values in (chances.click, chances.cart, chances.cart_purchase, chances.direct_purchase):
        assert ((values > 0) & (values < 1)).all()


def test_drift_moves_one_conditional_probability_alone(world: World) -> None:
    users, items = np.arange(200), np.arange(200)
    before = world.choice.probabilities(users, items, Effects())
    after = world.choice.probabilities(users, items, Effects(drift={"click": 1.0, "cart": 1.0, "purchase": 0.5}))
    assert after.click == pytest.approx(before.click)
    assert after.cart == pytest.approx(before.cart)
    assert after.purchase == pytest.approx(before.purchase / 2)


def test_tastes_shift(world: World) -> None:
    users, items = np.repeat(np.arange(100), 100), np.tile(np.arange(100), 100)
    before = world.choice.probabilities(users, items, Effects()).click
    half = world.choice.probabilities(users, items, Effects(taste_shift=0.5)).click
    after = world.choice.probabilities(users, items, Effects(taste_shift=1.0)).click
    similar = [np.corrcoef(before, other)[0, 1] for other in (half, after)]
    assert similar[1] < similar[0] < 0.99
    assert after.mean() == pytest.approx(before.mean(), rel=0.1)


def test_bots_see_all_click_anything_and_buy_nothing(world: World) -> None:
    bot = np.full(10, world.population.people)
    assert world.choice.is_bot(bot).all()
    chances = world.choice.probabilities(bot, np.arange(10), Effects())
    assert len(set(chances.click.tolist())) == 1
    assert (chances.purchase == 0).all()
    assert (chances.cart == 0).all()


def test_a_sale_lowers_prices_and_raises_purchases(world: World) -> None:
    items = np.arange(len(world.items.ids))
    sale = Effects(sale_share=0.3, price_factor=0.5)
    on_sale = world.items.sale_rank < 0.3
    assert world.choice.prices(items, sale)[on_sale] == pytest.approx(world.items.price[on_sale] / 2, abs=0.01)
    assert (world.choice.prices(items, sale)[~on_sale] == world.items.price[~on_sale]).all()
    users = np.zeros(len(items), dtype=np.int64) + 5
    assert (
        world.choice.probabilities(users, items, sale).purchase.sum()
        > world.choice.probabilities(users, items, Effects()).purchase.sum()
    )
