"""What users do with what they see: examination by position, then click, cart and purchase, as probabilities.

    p(click)    = p(examine) · p(click | examined)
    p(cart)     = p(click) · p(cart | click)
    p(purchase) = p(click) · [ p(cart | click) · p(buy | cart) + (1 − p(cart | click)) · p(buy | click, no cart) ]

Position-based model after Richardson et al. 2007; the funnel is the graph of ESM² (Wen et al. 2020).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.config import SimulatorConfig
from simulator.effects import Effects
from simulator.items import Items
from simulator.population import Population
from simulator.randomness import Bools, Floats, Ints

EXAMINATION: Final = (0.68, 0.61, 0.48, 0.34, 0.28, 0.20, 0.11, 0.10, 0.08, 0.06)
"""Examination of ranks 1 to 10, as in many public copies of a web-search click simulation."""
_MOST: Final = 0.95
_BOT_CLICK: Final = 0.4
_PHONE_CART: Final = -0.25
_PHONE_PURCHASE: Final = -0.35


def examination(positions: Ints, severity: float) -> Floats:
    """Give p(examined) of each position, 1 is the top; beyond 10 it falls as 1 / position."""
    last = len(EXAMINATION)
    curve = np.array(EXAMINATION)[np.minimum(positions, last) - 1]
    return np.asarray((curve * np.minimum(1.0, last / positions)) ** severity)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probabilities:
    """Conditional probabilities of N user-item pairs, each shape (N,)."""

    click: Floats
    """p(click | examined)."""
    cart: Floats
    """p(cart | click)."""
    cart_purchase: Floats
    """p(purchase | cart)."""
    direct_purchase: Floats
    """p(purchase | click, no cart)."""

    @property
    def purchase(self) -> Floats:
        """p(purchase | click), on either way."""
        return self.cart * self.cart_purchase + (1.0 - self.cart) * self.direct_purchase


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


class ChoiceModel:
    """The real probabilities of one world."""

    def __init__(self, config: SimulatorConfig, population: Population, items: Items) -> None:
        self._config, self._population, self._items = config, population, items

    def probabilities(self, users: Ints, items: Ints, effects: Effects) -> Probabilities:
        """Give the probabilities of pairs, without any arm's lift; shapes of users and items broadcast to (N,)."""
        config, people, goods = self._config, self._population, self._items
        taste = people.taste[users, goods.category[items]]
        if effects.taste_shift > 0:
            new = people.new_taste[users, goods.category[items]]
            taste = (1.0 - effects.taste_shift) * taste + effects.taste_shift * new
        liking = config.taste_strength * taste + config.latent_strength * np.einsum(
            "nd,nd->n", people.latent[users], goods.latent[items]
        )
        click = _sigmoid(config.base_click + config.appeal_strength * goods.appeal[items] + liking)
        # A price above the budget keeps users from buying more than from looking; a sale lowers it.
        on_sale = goods.sale_rank[items] < effects.sale_share
        level = goods.price_level[items] + np.where(on_sale, np.log(effects.price_factor) / 0.7, 0.0)
        strain = np.maximum(level - people.budget[users], 0.0)
        phone = people.device[users] == 0
        wish = 0.35 * goods.quality[items] + 0.3 * liking - 0.3 * strain
        bot = self.is_bot(users)
        drift = effects.drift
        return Probabilities(
            click=np.where(bot, _BOT_CLICK, np.minimum(click * drift["click"], _MOST)),
            cart=self._step(config.base_cart + wish + _PHONE_CART * phone, drift["cart"], bot),
            cart_purchase=self._step(
                config.base_cart_purchase + 0.5 * wish + _PHONE_PURCHASE * phone, drift["purchase"], bot
            ),
            direct_purchase=self._step(config.base_direct_purchase + wish, drift["purchase"], bot),
        )

    def is_bot(self, users: Ints) -> Bools:
        """Tell which users are bots: they see everything, click anything and buy nothing."""
        return np.asarray(users >= self._population.people)

    def prices(self, items: Ints, effects: Effects) -> Floats:
        """Give what each item costs now."""
        on_sale = self._items.sale_rank[items] < effects.sale_share
        return np.round(self._items.price[items] * np.where(on_sale, effects.price_factor, 1.0), 2)

    def pace(self, users: Ints, items: Ints, effects: Effects) -> Floats:
        """Give how slow each pair's purchase is: the multiple of the mean purchase delays."""
        both = (self._items.price_level[items] + self._population.patience[users]) / np.sqrt(2.0)
        return np.asarray(effects.delay_factor * np.exp(np.clip(self._config.delay_spread * both, -1.0, 1.0)))

    @staticmethod
    def _step(logits: Floats, factor: float, bot: Bools) -> Floats:
        return np.where(bot, 0.0, np.minimum(_sigmoid(logits) * factor, _MOST))
