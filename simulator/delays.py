"""How long labels take: exponential to click and cart, a mixture of exponentials to purchase; and their exact laws.

A sum of exponentials with different means is hypoexponential, so the truth within an attribution window has a
closed form and needs no simulation.
"""

from dataclasses import dataclass

import numpy as np

from simulator.config import SimulatorConfig
from simulator.randomness import Draw, Floats, Keys, derived


def within(window: float, *means: Floats | float) -> Floats:
    """Give P(sum of independent exponentials <= window).

    Args:
        window: in the unit of the means.
        means: mean of each exponential, arrays broadcast together; equal means are moved apart by a thousandth.
    """
    rates = [1.0 / (np.asarray(mean, dtype=np.float64) * (1.0 + 1e-3 * place)) for place, mean in enumerate(means)]
    missing: Floats = np.zeros(())
    for place, rate in enumerate(rates):
        weight: Floats = np.ones(())
        for other, another in enumerate(rates):
            if other != place:
                gap = another - rate
                weight = weight * another / np.where(np.abs(gap) < 1e-4 * rate, 1e-4 * rate, gap)
        missing = missing + weight * np.exp(-rate * window)
    return np.clip(1.0 - missing, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delays:
    """The laws of one world, milliseconds."""

    click_ms: float
    cart_ms: float
    purchase_ms: Floats
    """Mean of each part of the mixture, shape (parts,)."""
    shares: Floats
    """Share of each part, shape (parts,)."""

    def click(self, pairs: Keys) -> Floats:
        """Draw impression → click, one per key of a request and item."""
        return -self.click_ms * np.log(derived(pairs, Draw.CLICK_DELAY))

    def cart(self, pairs: Keys) -> Floats:
        """Draw click → cart."""
        return -self.cart_ms * np.log(derived(pairs, Draw.CART_DELAY))

    def purchase(self, pairs: Keys, pace: Floats) -> Floats:
        """Draw click or cart → purchase; `pace` multiplies the means, shape like pairs."""
        luck = derived(pairs, Draw.PURCHASE_PART)
        part = np.minimum(np.searchsorted(np.cumsum(self.shares), luck), len(self.shares) - 1)
        return -pace * self.purchase_ms[part] * np.log(derived(pairs, Draw.PURCHASE_DELAY))

    def click_by(self, window_ms: float) -> float:
        """Give P(click delay <= window)."""
        return float(within(window_ms, self.click_ms))

    def cart_by(self, window_ms: float) -> float:
        """Give P(click delay + cart delay <= window)."""
        return float(within(window_ms, self.click_ms, self.cart_ms))

    def purchase_by(self, window_ms: float, pace: Floats, *, by_cart: bool) -> Floats:
        """Give P(impression → purchase <= window), for purchases by way of a cart or directly, shape of `pace`."""
        first = (self.click_ms, self.cart_ms) if by_cart else (self.click_ms,)
        parts = [
            share * within(window_ms, *first, mean * pace)
            for share, mean in zip(self.shares, self.purchase_ms, strict=True)
        ]
        return np.asarray(np.sum(parts, axis=0))


def make_delays(config: SimulatorConfig) -> Delays:
    """Read the laws from the settings."""
    names = sorted(config.purchase_delays)
    return Delays(
        click_ms=config.click_delay.total_seconds() * 1000,
        cart_ms=config.cart_delay.total_seconds() * 1000,
        purchase_ms=np.array([config.purchase_delays[name].total_seconds() * 1000 for name in names]),
        shares=np.array([config.purchase_shares[name] for name in names]),
    )
