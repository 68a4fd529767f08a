"""What is sold: appeal (Zipf), quality, category, price; births and deaths over the whole story."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.config import SimulatorConfig
from simulator.population import LATENT_DIMS
from simulator.randomness import Bools, Draw, Floats, Ints, exponential, normal, uniform

DAY_MS: Final = 86_400_000
_OLDEST_DAYS: Final = 60
_NEVER_MS: Final = 2**62


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """N items: those of the start, then those born during the story; one entry per item in every array."""

    ids: list[str]
    index: dict[str, int]
    category: Ints
    category_names: list[str]
    appeal: Floats
    """Centred log of a Zipf (Pareto) popularity, exponential with unit variance."""
    quality: Floats
    """Standard normal; moves carts and purchases."""
    latent: Floats
    """Shape (N, LATENT_DIMS), scaled so that the product with a user's has unit variance."""
    price: Floats
    """List price in the shop's currency."""
    price_level: Floats
    """Log price in standard deviations from its mean."""
    sale_rank: Floats
    """A sale of a share s concerns items whose rank lies below s, 0 to 1."""
    born_ms: Ints
    dies_ms: Ints

    def alive(self, time_ms: int) -> Bools:
        """Tell which items may be shown at a time, shape (N,)."""
        return np.asarray((self.born_ms <= time_ms) & (time_ms < self.dies_ms))


def make_items(config: SimulatorConfig) -> Items:
    """Draw all items of the story; an item is the same in a larger catalogue."""
    seed = config.seed
    born_later = round(config.births_per_day * (config.days + 2))
    count = config.items + born_later
    ids = np.arange(count)
    category = (uniform(seed, Draw.CATEGORY, ids) * config.categories).astype(np.int64)
    level = 0.6 * normal(seed, Draw.PRICE, 1, category) + 0.8 * normal(seed, Draw.PRICE, 0, ids)
    born = _births(config, ids)
    names = [f"i{number}" for number in ids.tolist()]
    return Items(
        ids=names,
        index={name: number for number, name in enumerate(names)},
        category=category,
        category_names=[f"c{number}" for number in range(config.categories)],
        appeal=exponential(seed, Draw.APPEAL, ids) - 1.0,
        quality=normal(seed, Draw.QUALITY, ids),
        latent=normal(seed, Draw.ITEM_LATENT, ids[:, None], np.arange(LATENT_DIMS)) / np.sqrt(LATENT_DIMS),
        price=np.round(25.0 * np.exp(0.7 * level), 2),
        price_level=level,
        sale_rank=uniform(seed, Draw.SALE, ids),
        born_ms=born,
        dies_ms=_deaths(config, ids, born),
    )


def _births(config: SimulatorConfig, ids: Ints) -> Ints:
    """Old items are up to 60 days old at the start; the others come at an even pace, each at a moment of its own."""
    luck = uniform(config.seed, Draw.BORN, ids)
    old = config.start_ms - luck * _OLDEST_DAYS * DAY_MS
    pace = DAY_MS / max(config.births_per_day, 1e-9)
    young = config.start_ms + (ids - config.items + luck) * pace
    return np.where(ids < config.items, old, young).astype(np.int64)


def _deaths(config: SimulatorConfig, ids: Ints, born: Ints) -> Ints:
    """A constant hazard from the start of the story or from birth."""
    if config.deaths_per_day == 0:
        return np.full(len(ids), _NEVER_MS, dtype=np.int64)
    lifetime = exponential(config.seed, Draw.LIFETIME, ids) * DAY_MS * config.items / config.deaths_per_day
    return np.asarray(np.maximum(born, config.start_ms) + np.minimum(lifetime, 1e15), dtype=np.int64)
