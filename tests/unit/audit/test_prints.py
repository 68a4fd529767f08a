"""Fingerprints say what a comparison of whole rows says, whatever was done to the rows."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from springtide.audit.batch_join import batch_join, compare
from springtide.audit.differences import LONGEST, describe, field_differences
from springtide.audit.prints import Judged, Prints, judge, key_of
from springtide.contracts.samples import Sample
from tests.oracles.streams import LABELS, make_events

ALL = Judged(from_ms=0, to_ms=2**62, due_before_ms=2**62)


def prints_of(rows: list[Sample], late: Callable[[Sample], bool] = lambda row: False) -> Prints:
    prints = Prints(1, 1)
    for row in rows:
        prints.add(row, late=late(row))
    return prints


def disturbed(rows: list[Sample], draw: random.Random) -> list[Sample]:
    """Leave some out, change some, repeat some, add some, in any order."""
    said: list[Sample] = []
    for row in rows:
        kind = draw.random()
        other = msgspec.structs.replace(row, age_ms=row.age_ms + 1)
        if kind < 0.1:
            continue
        said += [other] if kind < 0.2 else [row]
        said += [row] * (kind > 0.8) + [other] * (kind > 0.9)
        said += [msgspec.structs.replace(row, row_id=f"{row.row_id}?")] * (kind > 0.95)
    draw.shuffle(said)
    return said


@pytest.mark.parametrize("seed", range(20))
def test_fingerprints_find_what_whole_rows_find(seed: int) -> None:
    print(f"seed {seed}")
    expected = batch_join(make_events(seed, slates=20), LABELS)
    said = disturbed(expected, random.Random(seed))
    whole, verdict = compare(said, expected), judge(prints_of(expected), prints_of(said), ALL)
    assert verdict.missing == {key_of(name) for name in whole.missing}
    assert verdict.unexpected == {key_of(name) for name in whole.unexpected}
    assert verdict.conflicts == {key_of(name) for name in whole.conflicts}
    assert verdict.wrong == {key_of(name) for name in whole.wrong} - verdict.conflicts
    assert bool(verdict) == bool(whole)


def test_nothing_against_nothing_is_no_difference() -> None:
    rows = batch_join(make_events(1), LABELS)
    assert not judge(prints_of([]), prints_of([]), ALL)
    assert len(judge(prints_of(rows), prints_of([]), ALL).missing) == len(rows)
    assert len(judge(prints_of([]), prints_of(rows), ALL).unexpected) == len(rows)


def test_late_slates_are_told_apart() -> None:
    rows = batch_join(make_events(2), LABELS)
    whose = rows[0].request_id
    late = prints_of(rows, lambda row: row.request_id == whose)
    verdict = judge(late, prints_of([row for row in rows if row.request_id != whose]), ALL)
    assert not verdict
    assert verdict.late == {key_of(row.row_id) for row in rows if row.request_id == whose}


def test_differences_name_the_path_and_cut_what_is_long() -> None:
    assert list(field_differences({"a": {"b": [1]}, "c": 1}, {"a": {"b": [2]}, "c": 1})) == [
        "a.b: expected [1], got [2]"
    ]
    (line,) = field_differences({"x": "y" * 500}, {})
    assert "(500 characters)" in line
    assert len(line) < 2 * LONGEST + 60
    with pytest.raises(ValueError, match="expected a row"):
        describe("missing", None, [])
