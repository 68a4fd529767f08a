"""A small catalogue with counts."""

from __future__ import annotations

import numpy as np
import pytest

from serving.ranking.item_table import ItemTable, build_item_table, build_shelf
from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.features import COUNTS

NOW = 1_700_000_000_000


def item(index: int, *, available: bool = True) -> CatalogueItem:
    return CatalogueItem(
        item_id=f"i{index:03}",
        category=f"c{index % 5}",
        price=1.0 + index,
        born_ms=NOW - index * 1000,
        available=available,
        event_time_ms=NOW,
    )


@pytest.fixture
def table() -> ItemTable:
    """300 items in 5 categories; item 299 is the most popular, item 0 the newest."""
    shelf = build_shelf(item(index) for index in range(300))
    counts = np.zeros((300, len(COUNTS)))
    counts[:, COUNTS.index("clicks_1d")] = np.arange(300)
    return build_item_table(shelf, counts)
