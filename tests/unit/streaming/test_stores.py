"""Where state rests between two lives: memory that is handed over, and disk that is believed only with its mark."""

import asyncio
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streaming.shell.rocks_store import MARK_AGE_S, RocksStore
from streaming.shell.stores import EntryStore, MemoryStore

CHANGELOG = "changelog"
ENTRIES = {b"1/a": b"new", b"1/m": b"meta"}


def make(kind: type[EntryStore], folder: Path) -> Any:
    app: Any = SimpleNamespace(conf=SimpleNamespace(tabledir=folder))
    table: Any = SimpleNamespace(name="joiner", changelog_topic_name=CHANGELOG)
    return kind("memory://", app, table, table_name="joiner")


def batch(partition: int, last: int, *pairs: tuple[bytes, bytes | None]) -> Any:
    records = [SimpleNamespace(key=key, value=value) for key, value in pairs]
    return SimpleNamespace(message=SimpleNamespace(partition=partition, offset=last, records=records))


def fill(store: EntryStore) -> None:
    """As recovery does: an entry written, deleted and written again; one written and deleted."""
    first = batch(1, 4, (b"1/a", b"old"), (b"1/b", b"x"), (b"1/a", None), (b"1/m", b"meta"))
    second = batch(1, 6, (b"1/a", b"new"), (b"1/b", None))
    store.apply_changelog_batch([first, batch(0, 0, (b"0/m", b"other")), second], None, None)


@pytest.mark.parametrize("kind", [MemoryStore, RocksStore])
def test_a_partition_gets_its_newest_entries(kind: type[EntryStore], tmp_path: Path) -> None:
    store = make(kind, tmp_path)
    fill(store)
    assert store.take(1) == ENTRIES
    assert store.take(0) == {b"0/m": b"other"}
    assert store.take(2) == {}


def test_memory_is_handed_over_and_read_again_whole(tmp_path: Path) -> None:
    store = make(MemoryStore, tmp_path)
    fill(store)
    store.take(1)
    store.written(1, [(b"1/c", b"y")], 7)
    assert store.take(1) == {}
    assert store.persisted_offset(TP(CHANGELOG, 1)) == -1
    fill(store)
    asyncio.run(store.on_rebalance(set(), set(), set()))
    assert store.take(1) == {}


def test_disk_goes_on_after_a_clean_stop(tmp_path: Path) -> None:
    store = make(RocksStore, tmp_path)
    fill(store)
    store.written(1, [(b"1/c", b"y"), (b"1/a", None)], 9)
    asyncio.run(store.on_stop())
    again = make(RocksStore, tmp_path)
    assert again.persisted_offset(TP(CHANGELOG, 1)) == 9
    assert again.take(1) == {b"1/c": b"y", b"1/m": b"meta"}
    assert again.wiped == []


@pytest.mark.parametrize("stop", ["unclean", "long ago"])
def test_disk_without_a_fresh_mark_is_read_again_from_the_changelog(stop: str, tmp_path: Path) -> None:
    store = make(RocksStore, tmp_path)
    fill(store)
    asyncio.run(store.on_stop())
    if stop == "unclean":
        (tmp_path / "joiner-1.rocksdb.whole").unlink()  # as when it was opened, and never closed in good order
    else:
        old = time.time() - MARK_AGE_S - 1
        for mark in tmp_path.glob("*.whole"):
            os.utime(mark, (old, old))
    again = make(RocksStore, tmp_path)
    assert again.persisted_offset(TP(CHANGELOG, 1)) == -1
    assert again.take(1) == {}
    assert again.wiped == [1]


def test_disk_of_a_partition_that_goes_away_is_deleted(tmp_path: Path) -> None:
    store = make(RocksStore, tmp_path)
    fill(store)
    asyncio.run(store.on_rebalance({TP(CHANGELOG, 0), TP("events", 1)}, set(), set()))
    assert store.take(0) == {b"0/m": b"other"}
    assert store.persisted_offset(TP(CHANGELOG, 1)) == -1
    assert store.wiped == []
