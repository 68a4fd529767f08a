"""Replicated id tables stay equal, whoever saw an id first."""

from collections.abc import Callable
from typing import Any

from springtide.model.config import TABLES
from springtide.model.id_table import IdTable
from springtide.model.inputs import columns_from_samples
from trainer.observations import Announcement, observe_all, summarize


def tables() -> dict[str, IdTable]:
    return {table: IdTable(capacity=6, admission_count=2, expiry_ms=1_000) for table in TABLES}


def announce(samples: list[Any]) -> Announcement:
    return Announcement(rows_ST=[], newest_ms=0, exhausted=True, tables=summarize([columns_from_samples(samples)]))


def test_counts_and_newest_times_are_told(sample: Callable[..., Any]) -> None:
    seen = summarize([columns_from_samples([sample("r1", time_ms=9), sample("r2", time_ms=4)])])
    item = seen["item"]
    assert dict(zip(item.ids, zip(item.counts, item.times_ms, strict=True), strict=True)) == {
        "i0": (2, 9),
        "i1": (2, 9),
    }
    assert (seen["user"].ids, seen["user"].counts) == (["u1"], [2])


def test_every_rank_ends_with_the_same_rows(sample: Callable[..., Any]) -> None:
    announcements = [
        announce([sample("r1", items=3, user_id="u1")]),
        announce([sample("r2", items=5, user_id="u2"), sample("r3", items=5, user_id="u2", time_ms=7)]),
    ]
    first, second = tables(), tables()
    for replica in (first, second):
        for _ in range(2):
            observe_all(replica, announcements)
    for table in TABLES:
        assert first[table].id_map() == second[table].id_map()
    assert len(first["item"]) == 5
    assert set(first["user"].id_map().row_of) == {"u1", "u2"}


def test_ids_seen_once_on_two_ranks_are_admitted(sample: Callable[..., Any]) -> None:
    replica = tables()
    observe_all(replica, [announce([sample("r1", items=1)]), announce([sample("r2", items=1)])])
    assert set(replica["item"].id_map().row_of) == {"i0"}
