"""Numbers by key: uniform, independent of order, and the same for ever."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.randomness import Draw, derived, exponential, hashed, normal, poisson, uniform

COUNT = 200_000


def test_uniform_fills_the_interval_evenly() -> None:
    values = uniform(7, Draw.CLICK, np.arange(COUNT))
    counts, _ = np.histogram(values, bins=50, range=(0, 1))
    chi_square = float(((counts - COUNT / 50) ** 2 / (COUNT / 50)).sum())
    assert chi_square < 85  # 49 degrees of freedom, p about 0.001
    assert values.min() > 0
    assert values.max() < 1


def test_neighbouring_keys_and_kinds_are_uncorrelated() -> None:
    here = uniform(7, Draw.CLICK, np.arange(COUNT))
    for other in (
        uniform(7, Draw.CLICK, np.arange(1, COUNT + 1)),
        uniform(7, Draw.CART, np.arange(COUNT)),
        uniform(8, Draw.CLICK, np.arange(COUNT)),
        uniform(7, Draw.CLICK, 0, np.arange(COUNT)),
        uniform(7, Draw.CLICK, np.arange(COUNT), 0),
        derived(hashed(7, Draw.CLICK, np.arange(COUNT)), Draw.CLICK),
        derived(hashed(7, Draw.CLICK, np.arange(COUNT)), Draw.CART),
    ):
        assert abs(np.corrcoef(here, other)[0, 1]) < 4 / np.sqrt(COUNT)


@given(st.integers(0, 2**62), st.integers(0, 2**62), st.integers(0, 2**31))
def test_a_draw_does_not_depend_on_its_company(first: int, second: int, seed: int) -> None:
    together = uniform(seed, Draw.CLICK, np.array([first, second]))
    assert together[0] == uniform(seed, Draw.CLICK, first)[0]
    assert together[1] == uniform(seed, Draw.CLICK, second)[0]


def test_the_order_of_parts_matters() -> None:
    assert hashed(7, Draw.CLICK, 1, 2)[0] != hashed(7, Draw.CLICK, 2, 1)[0]


def test_moments() -> None:
    keys = np.arange(COUNT)
    bell, wait = normal(7, Draw.QUALITY, keys), exponential(7, Draw.CLICK_DELAY, keys)
    assert abs(bell.mean()) < 0.01
    assert abs(bell.std() - 1) < 0.01
    assert abs(wait.mean() - 1) < 0.01
    counts = poisson(uniform(7, Draw.SESSIONS, keys), np.full(COUNT, 3.5))
    assert abs(counts.mean() - 3.5) < 0.02
    assert abs(counts.var() - 3.5) < 0.05


def test_golden() -> None:
    """A change of this hash changes every world of every seed: do it on purpose, and say so in the change log."""
    bits = hashed(7, Draw.CLICK, np.arange(1000), np.arange(1000)[::-1])
    assert hashlib.sha256(bits.tobytes()).hexdigest()[:16] == "bbfdd92000635217"
