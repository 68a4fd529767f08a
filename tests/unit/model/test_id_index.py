"""The index against a dict, also where every hash is equal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.contracts.errors import ShapeError
from springtide.model.id_index import ABSENT, IdIndex, distinct
from springtide.model.id_words import Ids, as_ids

names = st.lists(
    st.sampled_from([f"ü{number}" for number in range(30)] + ["a name of more than one word"]), max_size=20
)


@pytest.fixture(params=["hashed", "colliding at the end", "colliding at zero"])
def hashing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "hashed":
        value = 0 if request.param.endswith("zero") else 2**64 - 1
        monkeypatch.setattr(Ids, "hashes", lambda ids: np.full(len(ids), value, np.uint64))


def check_against_dict(history: list[tuple[list[str], list[str]]]) -> None:
    index, entry_of, free = IdIndex(4), dict[str, int](), list(range(1, 200))
    for come, go in history:
        gone = [name for name in dict.fromkeys(go) if name in entry_of]
        index.remove(np.array([entry_of[name] for name in gone], np.int64))
        free = sorted(free + [entry_of.pop(name) for name in gone])
        new = [name for name in come if name not in entry_of]
        entries, free = np.array(free[: len(new)], np.int64), free[len(new) :]
        if len(entries) and entries.max() >= index.size:
            index.grow(int(entries.max()) + 1)
        owners = index.claim(entries, as_ids(new))
        for name, entry, owner in zip(new, entries.tolist(), owners.tolist(), strict=True):
            assert entry_of.setdefault(name, owner) == owner
            if owner != entry:
                free = sorted([*free, entry])
        asked = [f"ü{number}" for number in range(30)] + ["a name of more than one word", "", "nobody"]
        assert index.find(as_ids(asked)).tolist() == [entry_of.get(name, ABSENT) for name in asked]
        held = np.array(sorted(entry_of.values()), np.int64)
        assert {
            name: entry for entry, name in zip(held.tolist(), index.ids_of(held).to_list(), strict=True)
        } == entry_of


@pytest.mark.usefixtures("hashing")
def test_the_index_is_a_dict_whatever_the_hashes() -> None:
    @given(st.lists(st.tuples(names, names), max_size=12))
    @settings(max_examples=10, deadline=None)
    def play(history: list[tuple[list[str], list[str]]]) -> None:
        check_against_dict(history)

    play()


@pytest.mark.usefixtures("hashing")
def test_the_first_of_equal_ids_stands_for_all() -> None:
    first, which = distinct(as_ids(["b", "a", "b", "c", "a", ""]))
    assert first.tolist() == [0, 1, 3, 5]
    assert which.tolist() == [0, 1, 0, 2, 1, 3]


def test_integers_that_share_their_low_bits_are_told_apart() -> None:
    ids = (np.arange(5_000) << 40) - 7
    index = IdIndex(5_001)
    index.claim(np.arange(1, 5_001), as_ids(ids))
    assert index.find(as_ids(ids)).tolist() == list(range(1, 5_001))
    assert not index.find(as_ids(ids + 1)).any()


def test_calls_larger_than_a_chunk_find_repeats_across_chunks() -> None:
    ids = np.random.default_rng(5).integers(0, 50_000, 300_000)
    first, which = distinct(as_ids(ids))
    unique, where = np.unique(ids, return_index=True)
    assert first.tolist() == sorted(where.tolist())
    assert np.array_equal(ids[first][which], ids)
    assert len(unique) == len(first)


def test_entries_that_come_and_go_leave_room_for_others() -> None:
    index = IdIndex(101)
    entries = np.arange(1, 101)
    for turn in range(40):
        index.claim(entries, as_ids(np.arange(100) + 1_000 * turn))
        assert index.find(as_ids(np.arange(100) + 1_000 * turn)).tolist() == entries.tolist()
        assert not index.find(as_ids(np.arange(100) + 1_000 * (turn - 1))).any()
        index.remove(entries)


def test_long_text_is_forgotten_with_its_entry() -> None:
    index, long = IdIndex(3), ["x" * 100, "y" * 100]
    index.claim(np.array([1, 2]), as_ids(long))
    kept = index.ids_of(np.array([1]))
    index.remove(np.array([1]))
    assert kept.to_list() == long[:1]
    assert index.ids_of(np.array([2])).to_list() == long[1:]
    assert index.find(as_ids(long)).tolist() == [ABSENT, 2]


def test_ids_of_another_kind_are_refused() -> None:
    index = IdIndex(3)
    index.claim(np.array([1]), as_ids(["1"]))
    with pytest.raises(ShapeError, match="text ids, got integer"):
        index.find(as_ids([1]))
