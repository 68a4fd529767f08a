from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.ranking.candidates import CandidateCounts, choose_candidates
from serving.ranking.item_table import ItemTable

COUNTS = CandidateCounts(popular=10, category=10, newest=5, random=5)


def test_every_source_gives_its_share(table: ItemTable) -> None:
    rows = choose_candidates(table, COUNTS, request_id="r1", top_categories=["c2", "c3"])
    ids = [table.shelf.ids[row] for row in rows]
    assert len(set(ids)) == len(ids) == 30
    assert ids[:10] == [f"i{index}" for index in range(299, 289, -1)]
    assert {table.shelf.categories[row] for row in rows[10:15]} == {"c2"}
    assert {table.shelf.categories[row] for row in rows[15:20]} == {"c3"}
    assert all(int(name[1:]) < 20 for name in ids[20:25]), "of the newest"


def test_a_repeated_request_gets_the_same_and_another_does_not(table: ItemTable) -> None:
    one = choose_candidates(table, COUNTS, request_id="r1")
    assert one == choose_candidates(table, COUNTS, request_id="r1")
    assert one != choose_candidates(table, COUNTS, request_id="r2")


def test_unknown_categories_are_made_up_by_random_items(table: ItemTable) -> None:
    assert len(choose_candidates(table, COUNTS, request_id="r", top_categories=["none"])) == COUNTS.total


@pytest.mark.parametrize("total", [0, 1, 150, 290, 300, 1000])
def test_the_random_share_takes_what_there_is(table: ItemTable, total: int) -> None:
    counts = CandidateCounts(popular=0, category=0, newest=0, random=total)
    rows = choose_candidates(table, counts, request_id="r")
    assert len(set(rows)) == len(rows) == min(total, 300)


def test_random_items_are_drawn_evenly(table: ItemTable) -> None:
    counts = CandidateCounts(popular=0, category=0, newest=0, random=30)
    hits = [0] * 300
    for request in range(1000):
        for row in choose_candidates(table, counts, request_id=f"r{request}"):
            hits[row] += 1
    assert min(hits) > 60
    assert max(hits) < 145


@given(st.sets(st.integers(0, 299), max_size=299), st.integers(0, 40))
def test_excluded_items_never_appear(gone: set[int], share: int) -> None:
    import numpy as np

    from serving.ranking.item_table import build_item_table, build_shelf
    from springtide.contracts.features import COUNTS as NAMES
    from tests.unit.serving.conftest import item

    table = build_item_table(build_shelf(item(index) for index in range(60)), np.zeros((60, len(NAMES))))
    exclude = {f"i{index:03}" for index in gone}
    counts = CandidateCounts(popular=share, category=share, newest=share, random=share)
    rows = choose_candidates(table, counts, request_id="r", top_categories=["c1"], exclude=exclude)
    ids = {table.shelf.ids[row] for row in rows}
    assert not ids & exclude
    left = 60 - len({name for name in exclude if int(name[1:]) < 60})
    assert len(ids) == len(rows) <= left
