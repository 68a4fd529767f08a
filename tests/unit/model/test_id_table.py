"""The id table against a plain model of it, and its journal against its map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.contracts.errors import ShapeError, StateError
from springtide.model.id_map import FALLBACK_ROW, IdMap, Journal
from springtide.model.id_table import PENDING_PER_ROW, SPARE, IdTable
from springtide.model.id_words import Ids
from tests.oracles.id_table import PlainTable

Step = tuple[list[str], int]

ids = st.lists(st.sampled_from([f"ü{number}" for number in range(9)] + [""]), max_size=8)
steps = st.lists(st.tuples(ids, st.integers(0, 50)), max_size=25)
SOME = settings(max_examples=40)
"""Most examples hold dozens of admissions and evictions; the plain table is held against it in more ways besides."""


def new_table(capacity: int = 5, admission_count: int = 2, expiry_ms: int = 60) -> IdTable:
    return IdTable(capacity=capacity, admission_count=admission_count, expiry_ms=expiry_ms)


def play(table: IdTable, history: list[Step]) -> None:
    now = 0
    for number, (seen, gap) in enumerate(history):
        now += gap
        table.observe(seen, now)
        if number % 4 == 3:
            table.expire(now)


moments = st.lists(
    st.tuples(ids, st.lists(st.integers(-20, 20), min_size=8, max_size=8), st.integers(0, 50)), max_size=25
)


def check_against_plain(history: list[tuple[list[str], list[int], int]], capacity: int, admission_count: int) -> None:
    table = new_table(capacity, admission_count)
    plain = PlainTable(capacity=capacity, admission_count=admission_count, expiry_ms=60)
    now = 0
    for number, (seen, lags, gap) in enumerate(history):
        now += gap
        times = [now + lag for lag in lags[: len(seen)]]
        assert table.observe(seen, np.array(times, np.int64)).tolist() == plain.observe(seen, times)
        if number % 4 == 3:
            assert table.expire(now) == plain.expire(now)
        assert table.known().to_dict() == plain.row_of
        assert (len(table), table.pending) == (len(plain.row_of), len(plain.waiting))
        if number % 3 == 2:
            journal, (admitted, evicted) = table.take_journal(), plain.take_journal()
            assert (journal.admitted.to_dict(), journal.evicted.to_dict()) == (admitted, evicted)
            assert set(table.rows_to_reset().tolist()) == plain.to_reset
            plain.to_reset.clear()


@given(moments, st.integers(2, 6), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_table_does_as_the_plain_one(
    history: list[tuple[list[str], list[int], int]], capacity: int, admission_count: int
) -> None:
    check_against_plain(history, capacity, admission_count)


def test_it_does_so_when_every_hash_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ids, "hashes", lambda ids: np.full(len(ids), 2**64 - 1, np.uint64))

    @given(moments, st.integers(2, 6), st.integers(1, 3))
    @settings(max_examples=10, deadline=None)
    def play_both(history: list[tuple[list[str], list[int], int]], capacity: int, admission_count: int) -> None:
        check_against_plain(history, capacity, admission_count)

    play_both()


def test_a_large_table_does_as_the_plain_one_and_frees_a_part_at_once() -> None:
    random = np.random.default_rng(4)
    capacity = 3 * SPARE
    table, plain = new_table(capacity, 2, 400), PlainTable(capacity=capacity, admission_count=2, expiry_ms=400)
    for now in range(0, 400, 20):
        seen = [f"id {number}" for number in (now + random.zipf(1.3, 300) % 900).tolist()]
        times = (now + random.integers(-30, 30, 300)).tolist()
        assert table.observe(seen, np.array(times)).tolist() == plain.observe(seen, times)
        assert table.expire(now) == plain.expire(now)
        journal, (admitted, evicted) = table.take_journal(), plain.take_journal()
        assert (journal.admitted.to_dict(), journal.evicted.to_dict()) == (admitted, evicted)
    assert evicted


@given(steps)
@SOME
def test_rows_are_unique_within_capacity_and_never_the_fallback(history: list[Step]) -> None:
    table = new_table()
    play(table, history)
    rows = list(table.id_map().row_of.values())
    assert len(set(rows)) == len(rows) == len(table) <= table.capacity - 1
    assert all(FALLBACK_ROW < row < table.capacity for row in rows)


@given(steps)
@SOME
def test_equal_histories_give_equal_tables(history: list[Step]) -> None:
    one, two = new_table(), new_table()
    play(one, history)
    play(two, history)
    assert {name: part.tolist() for name, part in one.to_arrays().items()} == {
        name: part.tolist() for name, part in two.to_arrays().items()
    }


@given(steps, st.integers(1, 6))
@SOME
def test_journals_in_sequence_equal_the_map(history: list[Step], every: int) -> None:
    table, served = new_table(), IdMap({})
    for number, step in enumerate(history):
        play(table, [step])
        if number % every == 0:
            table.expire(step[1])
            served = served.apply(Journal.from_arrays(table.take_journal().to_arrays()))
            assert served.row_of == table.id_map().row_of
    assert served.apply(table.take_journal()).row_of == table.id_map().row_of


@given(steps, steps)
@SOME
def test_a_restored_table_goes_on_as_the_original(before: list[Step], after: list[Step]) -> None:
    table, restored = new_table(), new_table()
    play(table, before)
    restored.load_arrays(table.to_arrays())
    play(table, after)
    play(restored, after)
    assert {name: part.tolist() for name, part in table.to_arrays().items()} == {
        name: part.tolist() for name, part in restored.to_arrays().items()
    }


@given(steps)
@SOME
def test_every_row_that_changes_its_id_is_reset(history: list[Step]) -> None:
    table = new_table()
    owner: dict[int, str] = {}
    now = 0
    for seen, gap in history:
        now += gap
        table.observe(seen, now)
        reset = set(table.rows_to_reset().tolist())
        current = {row: raw_id for raw_id, row in table.id_map().row_of.items()}
        changed = {row for row, raw_id in current.items() if owner.get(row) != raw_id}
        assert changed <= reset
        owner.update(current)


def test_an_id_is_admitted_at_its_count_and_until_then_reads_the_fallback() -> None:
    table = new_table(admission_count=3)
    assert table.observe(["a"], 0).tolist() == [FALLBACK_ROW]
    assert table.observe(["a", "a"], 1).tolist() == [1, 1]
    assert table.lookup(["a", "b", ""]).tolist() == [1, FALLBACK_ROW, FALLBACK_ROW]


def test_lookup_changes_nothing() -> None:
    table = new_table(admission_count=1)
    table.lookup(["a", "a", "a"])
    assert len(table) == table.pending == 0


def test_expiry_is_by_event_time_and_frees_the_row() -> None:
    table = new_table(admission_count=1, expiry_ms=100)
    table.observe(["old", "young"], np.array([0, 50]))
    assert table.expire(100) == 0
    assert table.expire(101) == 1
    assert table.observe(["new"], 101).tolist() == [1]
    assert 1 in table.rows_to_reset()


def test_a_late_event_does_not_make_an_id_older() -> None:
    table = new_table(admission_count=1, expiry_ms=100)
    table.observe(["a"], 90)
    table.observe(["a"], 10)
    assert table.expire(150) == 0


def test_at_capacity_the_longest_unseen_makes_room() -> None:
    table = new_table(capacity=3, admission_count=1)
    table.observe(["a"], 1)
    table.observe(["b"], 2)
    table.observe(["a"], 3)
    table.observe(["c"], 4)
    assert dict(table.id_map().row_of) == {"a": 1, "c": 2}
    journal = table.take_journal()
    assert (journal.admitted.to_dict(), journal.evicted.to_dict()) == ({"a": 1, "c": 2}, {})


def test_an_id_makes_none_go_that_was_seen_as_late_as_itself() -> None:
    table = new_table(capacity=2, admission_count=1)
    table.observe(["a"], 5)
    assert table.observe(["b"], 5).tolist() == [FALLBACK_ROW]
    assert table.observe(["late"], 4).tolist() == [FALLBACK_ROW]
    assert table.observe(["b"], 6).tolist() == [1]
    assert table.lookup(["a"]).tolist() == [FALLBACK_ROW]


def test_an_id_that_loses_its_row_in_a_call_reads_the_fallback_in_it() -> None:
    table = new_table(capacity=2, admission_count=1)
    table.observe(["a"], 1)
    assert table.observe(["a", "b"], np.array([2, 3])).tolist() == [FALLBACK_ROW, 1]


def test_counts_stand_for_repetition() -> None:
    one, many = new_table(), new_table()
    one.observe(["a", "b", "a", "b", "c"], 7)
    many.observe(["a", "b", "c"], 7, np.array([2, 2, 1]))
    assert {name: part.tolist() for name, part in one.to_arrays().items()} == {
        name: part.tolist() for name, part in many.to_arrays().items()
    }


def test_integers_are_ids_and_no_text() -> None:
    table, restored = new_table(admission_count=1), new_table(admission_count=1)
    assert table.observe(np.array([7, -7, 0, 7]), 1).tolist() == [1, 2, 3, 1]
    restored.load_arrays(table.to_arrays())
    assert restored.lookup([0, 7, 8, -7]).tolist() == [3, 1, FALLBACK_ROW, 2]
    with pytest.raises(ShapeError, match="integer ids, got text"):
        restored.lookup(["7"])


def test_a_checkpoint_of_an_older_release_is_taken_up() -> None:
    table = new_table(admission_count=2)
    table.observe(["a", "a", "x", "y"], 3)
    arrays = table.to_arrays()
    arrays["rows"][arrays["rows"] < 0] = -1  # as it was written before waiting ids had places
    restored = new_table(admission_count=2)
    restored.load_arrays(arrays)
    assert restored.pending == 2
    assert restored.observe(["y", "x", "a"], 4).tolist() == [2, 3, 1]


def test_many_ids_stay_within_forty_bytes_each() -> None:
    table = IdTable(capacity=20_001, admission_count=1, expiry_ms=1)
    table.observe([f"u{number:07}" for number in range(20_000)], 1)
    assert table.nbytes / len(table) <= 40


def test_an_eviction_that_serving_knows_of_is_journalled() -> None:
    table = new_table(capacity=2, admission_count=1)
    table.observe(["a"], 1)
    served = IdMap({}).apply(table.take_journal())
    table.observe(["b"], 2)
    journal = table.take_journal()
    assert (journal.admitted.to_dict(), journal.evicted.to_dict()) == ({"b": 1}, {"a": 1})
    assert served.apply(journal).row_of == {"b": 1}
    assert served.row_of == {"a": 1}


def test_ids_that_never_get_admitted_stay_bounded() -> None:
    table = new_table(capacity=4, admission_count=2)
    for number in range(200):
        table.observe([f"x{number}"], number)
    assert table.pending <= PENDING_PER_ROW * table.capacity


def test_a_journal_of_another_base_is_refused() -> None:
    with pytest.raises(StateError, match="start from the base"):
        IdMap({"a": 2}).apply(Journal.of({}, {"a": 1}))


def test_a_snapshot_of_a_larger_table_is_refused() -> None:
    large = new_table(capacity=9, admission_count=1)
    large.observe([f"x{number}" for number in range(8)], 0)
    with pytest.raises(StateError, match="capacities"):
        new_table(capacity=5).load_arrays(large.to_arrays())


@given(st.dictionaries(st.text(max_size=5), st.integers(1, 1000), max_size=8))
def test_id_maps_survive_arrays(row_of: dict[str, int]) -> None:
    assert IdMap.from_arrays(IdMap(row_of).to_arrays()).row_of == row_of
