from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serving.item_source import ItemSource
from serving.ranking.item_table import ItemTable, build_shelf
from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.codec import encode
from springtide.contracts.features import COUNTS, ITEM_FEATURES
from springtide.feature_join.online import ItemFeatures

NOW = 1_700_000_000_000


def made(item_id: str, *, available: bool = True) -> CatalogueItem:
    return CatalogueItem(item_id=item_id, category="c", price=2.0, born_ms=NOW, available=available, event_time_ms=NOW)


class FakeStore:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def items(self, item_ids: Sequence[str]) -> ItemFeatures:
        self.asked.append(list(item_ids))
        counts = np.full((len(item_ids), len(COUNTS)), float(len(self.asked)))
        return ItemFeatures(item_ids=tuple(item_ids), feature_time_ms=np.full(len(item_ids), NOW), counts=counts)


def test_orders_follow_popularity_and_birth(table: ItemTable) -> None:
    assert table.shelf.ids[table.popular[0]] == "i299"
    assert table.shelf.ids[table.shelf.newest[0]] == "i000"
    assert [table.shelf.ids[row] for row in table.by_category["c1"][:2]] == ["i296", "i291"]


def test_price_and_birth_come_from_the_catalogue(table: ItemTable) -> None:
    row = table.shelf.place["i007"]
    assert table.features[row, ITEM_FEATURES.index("price")] == 8.0
    assert table.features[row, ITEM_FEATURES.index("born_ms")] == NOW - 7000
    assert table.features[row, ITEM_FEATURES.index("clicks_1d")] == 7.0


def test_items_that_are_gone_are_no_candidates() -> None:
    assert build_shelf([made("a"), made("b", available=False)]).ids == ("a",)


def test_source_takes_items_changes_and_tombstones() -> None:
    source = ItemSource(items_per_refresh=10)
    for item in (made("a"), made("b"), made("c")):
        source.take(item.item_id.encode(), encode(item))
    source.take(b"a", None)
    source.take(b"b", encode(made("b", available=False)))
    source.refresh(None)
    assert source.table.shelf.ids == ("c",)


def test_source_reads_shown_items_first_and_the_others_in_turn() -> None:
    source, store = ItemSource(items_per_refresh=2), FakeStore()
    for name in "abcde":
        source.take(name.encode(), encode(made(name)))
    source.shown(["d"])
    source.refresh(store.items)
    source.refresh(store.items)
    source.refresh(store.items)
    assert store.asked[0] == ["d", "a"]
    assert set(sum(store.asked, [])) == set("abcde")
    clicks = source.table.features[:, ITEM_FEATURES.index("clicks_1d")]
    assert dict(zip(source.table.shelf.ids, clicks.tolist(), strict=True))["a"] == 1.0
    assert source.feature_time_ms == NOW


def test_source_keeps_counts_when_the_catalogue_changes() -> None:
    source, store = ItemSource(items_per_refresh=5), FakeStore()
    source.take(b"b", encode(made("b")))
    source.refresh(store.items)
    source.take(b"a", encode(made("a")))
    source.refresh(None)
    clicks = source.table.features[:, ITEM_FEATURES.index("clicks_1d")]
    assert (source.table.shelf.ids, clicks.tolist()) == (("a", "b"), [0.0, 1.0])


def test_a_ranked_table_is_never_changed(tmp_path: Path) -> None:
    source, store = ItemSource(items_per_refresh=5), FakeStore()
    source.take(b"a", encode(made("a")))
    source.refresh(store.items)
    before = source.table
    kept = before.features.copy()
    source.refresh(store.items)
    assert source.table is not before
    assert np.array_equal(before.features, kept)
