import threading
from collections.abc import Sequence

import numpy as np
import pytest

from springtide.feature_join.mirror import ItemMirror
from springtide.feature_join.online import ItemFeatures


class Reader:
    """Gives tables whose first time is the number of the round; fails when told."""

    def __init__(self) -> None:
        self.rounds, self.failing = 0, False
        self.read = threading.Condition()

    def items(self, item_ids: Sequence[str]) -> ItemFeatures:
        with self.read:
            self.rounds += 1
            self.read.notify_all()
            if self.failing:
                raise OSError("store is gone")
            times = np.full(len(item_ids), self.rounds, dtype=np.int64)
            return ItemFeatures(item_ids=tuple(item_ids), feature_time_ms=times, counts=np.zeros((len(item_ids), 12)))

    def wait_for_rounds(self, rounds: int) -> None:
        with self.read:
            assert self.read.wait_for(lambda: self.rounds >= rounds, timeout=10)


def test_the_table_renews_and_takes_new_items() -> None:
    reader, ids = Reader(), ["a"]
    mirror = ItemMirror(lambda: reader, lambda: ids, every_seconds=0.001).start()
    assert list(mirror.table.item_ids) == ["a"]
    ids.append("b")
    reader.wait_for_rounds(reader.rounds + 3)
    assert list(mirror.table.item_ids) == ["a", "b"]
    mirror.stop()


def test_a_failed_round_keeps_the_table_and_is_counted() -> None:
    reader = Reader()
    mirror = ItemMirror(lambda: reader, lambda: ["a"], every_seconds=0.001).start()
    reader.failing = True
    reader.wait_for_rounds(reader.rounds + 3)
    assert mirror.failed_rounds >= 1
    assert mirror.table.item_ids == ("a",)
    mirror.stop()


def test_a_reader_that_cannot_open_fails_the_start() -> None:
    def refuse() -> Reader:
        raise OSError("no store")

    with pytest.raises(OSError, match="no store"):
        ItemMirror(refuse, lambda: [], every_seconds=1).start()


def test_age_is_told_per_item() -> None:
    table = ItemFeatures(item_ids=("a", "b", "c"), feature_time_ms=np.array([0, 50, 40]), counts=np.zeros((3, 12)))
    assert table.known(at_ms=100, max_age_ms=50).tolist() == [False, True, False]
