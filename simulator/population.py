"""Who the users are: activity, country, device, tastes, budget and patience. Bots follow the people in every array."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.config import SimulatorConfig
from simulator.randomness import Draw, Floats, Ints, exponential, gumbel, normal, uniform

BOTS: Final = 8
"""Bots known to every world; they only come while a scenario or a command sends them."""
LATENT_DIMS: Final = 6
COUNTRIES: Final = ("NL", "DE", "FR", "ES", "PL")
_COUNTRY_EDGES: Final = np.array([0.35, 0.65, 0.8, 0.92])
DEVICES: Final = ("phone", "desktop", "tablet")
_DEVICE_EDGES: Final = np.array([0.6, 0.9])
_FAVOURITES: Final = (1.0, 0.75, 0.5)
"""Taste for the first, second and third favourite category."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Population:
    """U people, then BOTS bots; one entry per user in every array."""

    people: int
    rate: Floats
    """Mean sessions per day, shape (U + BOTS,); of a bot when it comes."""
    joined_ms: Ints
    country: Ints
    """Index into COUNTRIES."""
    device: Ints
    """Index into DEVICES."""
    taste: Floats
    """Taste per category before any shift, shape (U + BOTS, categories)."""
    new_taste: Floats
    """Taste per category after a whole shift."""
    latent: Floats
    """Shape (U + BOTS, LATENT_DIMS), unit variance."""
    budget: Floats
    """Log price that suits, in standard deviations of log price."""
    patience: Floats
    """Standard normal; high means purchases take longer."""

    def user_id(self, user: int) -> str:
        """Name a user; bots look like anyone."""
        return f"u{user}"


def make_population(config: SimulatorConfig) -> Population:
    """Draw all users; a user is the same in a larger population."""
    seed = config.seed
    ids = np.arange(config.users + BOTS)
    spread = config.activity_spread
    rate = config.sessions_per_day * np.exp(spread * normal(seed, Draw.ACTIVITY, ids) - spread**2 / 2)
    rate[config.users :] = 1.0
    late = uniform(seed, Draw.JOINED, ids, 0) < config.newcomers
    joined = config.start_ms + uniform(seed, Draw.JOINED, ids, 1) * config.days * 86_400_000
    country = np.searchsorted(_COUNTRY_EDGES, uniform(seed, Draw.COUNTRY, ids))
    # Newcomers come on average for half of the story; everyone comes a little more often, so that traffic is as set.
    rate[: config.users] /= 1 - config.newcomers / 2
    return Population(
        people=config.users,
        rate=rate,
        joined_ms=np.where(late & (ids < config.users), joined, 0).astype(np.int64),
        country=country.astype(np.int64),
        device=np.searchsorted(_DEVICE_EDGES, uniform(seed, Draw.DEVICE, ids)).astype(np.int64),
        taste=_tastes(config, Draw.TASTE, ids, country),
        new_taste=_tastes(config, Draw.NEW_TASTE, ids, country),
        latent=normal(seed, Draw.LATENT, ids[:, None], np.arange(LATENT_DIMS)),
        budget=normal(seed, Draw.BUDGET, ids),
        patience=normal(seed, Draw.PATIENCE, ids),
    )


def _tastes(config: SimulatorConfig, kind: Draw, ids: Ints, country: Ints) -> Floats:
    """Draw three favourite categories per user, by the country's weights; shape (users, categories)."""
    categories = np.arange(config.categories)
    liked = config.country_strength * exponential(
        config.seed, Draw.COUNTRY_TASTE, kind, np.arange(len(COUNTRIES))[:, None], categories
    )
    ranks = np.argsort(-(liked[country] + gumbel(config.seed, kind, ids[:, None], categories)), axis=1)
    taste = np.zeros((len(ids), config.categories))
    for place, weight in enumerate(_FAVOURITES[: config.categories]):
        np.put_along_axis(taste, ranks[:, place : place + 1], weight, axis=1)
    return taste
