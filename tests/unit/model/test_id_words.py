"""Ids as words: nothing is lost, equal words mean equal ids, and types are not mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.contracts.errors import ShapeError
from springtide.model.id_words import INLINE, Ids, as_ids, ids_from_arrays, joined

texts = st.lists(st.text(max_size=12) | st.text(min_size=INLINE - 2, max_size=3 * INLINE), max_size=12)
encodable = texts.map(lambda values: [text.encode(errors="replace").decode() for text in values])
int64s = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8)


@given(encodable)
@settings(max_examples=20, deadline=None)
def test_text_survives_packing(raw: list[str]) -> None:
    assert as_ids(raw).to_list() == raw


@given(int64s)
@settings(max_examples=20, deadline=None)
def test_integers_survive_packing(raw: list[int]) -> None:
    packed = as_ids(np.array(raw, np.int64))
    assert packed.to_list() == raw
    assert not raw or as_ids(raw).to_list() == raw


@given(encodable, encodable)
@settings(max_examples=20, deadline=None)
def test_ids_survive_arrays_and_joining(one: list[str], two: list[str]) -> None:
    whole = joined([as_ids(one), as_ids(two)], "text")
    assert whole.to_list() == one + two
    arrays = {f"x.{name}": array for name, array in whole.to_arrays().items()}
    assert ids_from_arrays(arrays, "x.").to_list() == one + two


@given(encodable)
@settings(max_examples=20, deadline=None)
def test_equal_words_mean_equal_text(raw: list[str]) -> None:
    packed = as_ids(raw)
    rows = list(zip(*(word.tolist() for word in packed.words), strict=True))
    for one, text in enumerate(raw):
        for two, other in enumerate(raw):
            assert (rows[one] == rows[two]) == (text == other)


@given(encodable)
@settings(max_examples=20, deadline=None)
def test_a_hash_does_not_depend_on_the_ids_beside(raw: list[str]) -> None:
    together = as_ids([*raw, "x" * INLINE]).hashes()
    for index, text in enumerate(raw):
        assert as_ids([text]).hashes()[0] == together[index]


@pytest.mark.parametrize("raw", ["x", "x" * 6, "x" * 7, "x" * 14, "x" * INLINE, "x" * (INLINE + 1), "x" * 70_000])
def test_a_zero_byte_at_the_end_makes_another_id(raw: str) -> None:
    packed = as_ids([raw, raw + "\0"])
    assert any(word[0] != word[1] for word in packed.words)
    assert packed.to_list() == [raw, raw + "\0"]


def test_long_text_takes_no_more_than_five_words() -> None:
    assert len(as_ids(["x" * 70_000]).words) == 5
    assert set(as_ids(["a", "y" * 50]).take(np.array([0])).long_texts()) == set()


def test_every_form_of_text_is_the_same_id() -> None:
    forms: list[Any] = [
        ["a", "bü"],
        [b"a", "bü".encode()],
        np.array(["a", "bü"]),
        np.array(["a", "bü"], object),
        pa.array(["a", "bü"]),
        pa.array(["z", "a", "bü", "z"], pa.large_string()).slice(1, 2),
    ]
    for form in forms:
        assert as_ids(form).to_list() == ["a", "bü"]


def test_every_form_of_integer_is_the_same_id() -> None:
    forms: list[Any] = [[-1, 7], np.array([-1, 7], np.int8), pa.array([-1, 7], pa.int32())]
    for form in forms:
        packed = as_ids(form)
        assert (packed.kind, packed.to_list()) == ("integer", [-1, 7])


def test_no_text_is_none_and_no_integer_is() -> None:
    assert as_ids(["", "a"]).present().tolist() == [False, True]
    assert as_ids([0, 1]).present().all()


@pytest.mark.parametrize(
    "raw", [["a", 1], [1, "a"], [1, 2.5], [1.5], [2**63], [1, None], np.array([2**63], np.uint64), [("a",)]]
)
def test_ids_that_would_be_confused_are_refused(raw: Any) -> None:
    with pytest.raises(ShapeError, match="expected"):
        as_ids(raw)


def test_packed_ids_pass_through() -> None:
    packed = as_ids(["a"])
    assert as_ids(packed) is packed
    assert isinstance(packed, Ids)
