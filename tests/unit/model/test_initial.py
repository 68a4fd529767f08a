"""First vectors depend on seed, table and row alone."""

import numpy as np

from springtide.model.fusion import fuse
from springtide.model.initial import SCALE, initial_vectors


def test_a_row_starts_the_same_alone_and_among_others() -> None:
    whole = initial_vectors("item", np.arange(50), 8, seed=7)
    np.testing.assert_array_equal(initial_vectors("item", np.array([3, 41]), 8, seed=7), whole[[3, 41]])


def test_rows_tables_and_seeds_differ() -> None:
    rows = np.arange(1, 2000)
    item = initial_vectors("item", rows, 8, seed=7)
    assert len(np.unique(item)) > 0.98 * item.size
    assert not np.array_equal(item, initial_vectors("user", rows, 8, seed=7))
    assert not np.array_equal(item, initial_vectors("item", rows, 8, seed=8))


def test_values_are_uniform_within_the_scale() -> None:
    values = initial_vectors("user", np.arange(1, 5000), 16, seed=1)
    assert np.abs(values).max() <= SCALE
    assert abs(values.mean()) < 0.01 * SCALE
    assert abs(values.std() - SCALE / np.sqrt(3)) < 0.01 * SCALE


def test_the_fallback_row_starts_at_zero() -> None:
    assert (initial_vectors("user", np.array([0]), 16, seed=1) == 0).all()


def test_fusion_formulas() -> None:
    probabilities = np.array([[0.5, 0.2, 0.1], [0.1, 0.1, 0.0]], np.float32)
    np.testing.assert_allclose(fuse(probabilities, "sum", {"click": 1.0, "purchase": 10.0}), [1.5, 0.1], rtol=1e-6)
    product = fuse(probabilities, "product", {"click": 1.0, "purchase": 2.0})
    np.testing.assert_allclose(product[0], 0.5 * 0.01, rtol=1e-5)
    assert 0 <= product[1] < product[0]
    np.testing.assert_allclose(fuse(probabilities, "product", {}), [1.0, 1.0])
