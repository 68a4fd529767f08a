"""Random numbers by key instead of by order: the same key gives the same number, in any arm, order or process.

Each draw is a hash of (seed, kind, who, where, ...), finished with splitmix64 (Steele, Lea, Flood 2014), so draws
for many keys are one vectorised pass and no draw depends on another having been made.
"""

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


class Draw(IntEnum):
    """What a number is drawn for; a number never changes its meaning once golden hashes exist."""

    ACTIVITY = 1
    JOINED = 2
    COUNTRY = 3
    DEVICE = 4
    TASTE = 5
    NEW_TASTE = 6
    LATENT = 7
    BUDGET = 8
    PATIENCE = 9
    APPEAL = 20
    QUALITY = 21
    CATEGORY = 22
    PRICE = 23
    ITEM_LATENT = 24
    BORN = 25
    LIFETIME = 26
    SALE = 27
    COUNTRY_TASTE = 28
    SESSIONS = 40
    SESSION_START = 41
    SESSION_LENGTH = 42
    THINK = 43
    REQUEST = 44
    RENDER = 60
    DEPTH = 61
    EXAMINE = 62
    CLICK = 63
    CART = 64
    PURCHASE = 65
    CLICK_DELAY = 66
    CART_DELAY = 67
    PURCHASE_PART = 68
    PURCHASE_DELAY = 69
    ORPHAN = 70
    DUPLICATE = 80
    DUPLICATE_LAG = 81
    OUT_OF_ORDER = 82
    HOLD = 83
    LOSS = 84
    POLICY = 90
    PAIR = 91


def mix(keys: Keys) -> Keys:
    """Scramble 64-bit keys (the finalizer of splitmix64); a bijection."""
    keys = (keys ^ (keys >> np.uint64(30))) * _FIRST
    keys = (keys ^ (keys >> np.uint64(27))) * _SECOND
    return keys ^ (keys >> np.uint64(31))


def hashed(seed: int, kind: Draw, *parts: npt.ArrayLike) -> Keys:
    """Hash a seed, a kind and integer parts, which broadcast together, to 64 bits each; at least 1-dimensional."""
    state: Keys = np.full(1, seed, dtype=np.int64).view(np.uint64)
    for part in (int(kind), *parts):
        values = np.atleast_1d(np.asarray(part))
        values = values if values.dtype == np.uint64 else values.astype(np.int64).view(np.uint64)
        state = mix((state + _GOLDEN) ^ mix(values + _GOLDEN))
    return state


def derived(keys: Keys, kind: Draw) -> Floats:
    """Draw uniformly from (0, 1) for keys that are hashes already; much cheaper when many kinds share their keys."""
    return _unit(mix((keys + _GOLDEN) ^ mix(np.full(1, int(kind), dtype=np.uint64))))


def _unit(bits: Keys) -> Floats:
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def uniform(seed: int, kind: Draw, *parts: npt.ArrayLike) -> Floats:
    """Draw uniformly from the open interval (0, 1), one number per key."""
    return _unit(hashed(seed, kind, *parts))


def exponential(seed: int, kind: Draw, *parts: npt.ArrayLike) -> Floats:
    """Draw from the exponential law with mean 1."""
    return -np.log(uniform(seed, kind, *parts))


def normal(seed: int, kind: Draw, *parts: npt.ArrayLike) -> Floats:
    """Draw from the standard normal law (Box and Muller 1958), with two hashes per number."""
    radius = np.sqrt(-2.0 * np.log(uniform(seed, kind, *parts, 0)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform(seed, kind, *parts, 1)))


def gumbel(seed: int, kind: Draw, *parts: npt.ArrayLike) -> Floats:
    """Draw from the standard Gumbel law; the largest of log weight + Gumbel is a draw by weight."""
    return -np.log(-np.log(uniform(seed, kind, *parts)))


def poisson(uniforms: Floats, means: Floats) -> Ints:
    """Turn uniforms into Poisson counts by inversion; means up to about 500.

    Args:
        uniforms: numbers in (0, 1), shape (N,).
        means: shape (N,).
    """
    counts = np.zeros(len(uniforms), dtype=np.int64)
    term = np.exp(-means)
    total = term.copy()
    for step in range(1, 1000):
        above = uniforms > total
        if not above.any():
            break
        counts[above] = step
        term = term * means / step
        total = total + term
    return counts
