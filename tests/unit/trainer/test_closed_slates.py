"""Which slates are kept for the guard, and with what labels they end."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from springtide.contracts.events import SlateFeatures
from springtide.contracts.samples import Sample
from trainer.closed_slates import ClosedSlates, decode_slates, encode_slates

HOUR = 3_600_000
FEATURES = SlateFeatures(version=1, feature_time_ms=1, item={})
Make = Callable[..., Any]


def observed(sample: Make, request: str, hour: int = 0) -> Sample:
    row: Sample = sample(request, "observed", hour * HOUR, features=FEATURES)
    return row


def requests(slates: ClosedSlates, span_ms: int = 99 * HOUR, before_ms: int | None = None) -> list[str]:
    return [slate.sample.request_id for slate in slates.window(span_ms, before_ms)]


def test_a_slate_ends_with_its_final_labels_on_the_items_that_were_observed(sample: Make) -> None:
    slates = ClosedSlates(4, 99 * HOUR)
    slates.note(observed(sample, "a"))
    assert slates.window(HOUR) == []
    final = sample(
        "a", "final", 0, 3, positions=[2, 9, 1],
        labels={"click": [0, 1, 1], "cart": [1, 1, 0], "purchase": [0, 0, 0]},
    )  # fmt: skip
    slates.close(final)
    (slate,) = slates.window(HOUR)
    assert slate.sample.positions == [1, 2]
    assert slate.labels == {"click": [1, 0], "cart": [0, 1], "purchase": [0, 0]}
    assert decode_slates(encode_slates([slate])) == [slate]


def test_what_was_never_observed_or_has_no_features_is_passed_over(sample: Make) -> None:
    slates = ClosedSlates(4, 99 * HOUR)
    slates.note(sample("a"))
    slates.close(sample("a", "final"))
    slates.note(observed(sample, "b"))
    slates.close(sample("b", "final", 0, 1))
    assert slates.window(99 * HOUR) == []
    slates.close(sample("c", "final", features=FEATURES))
    assert requests(slates) == ["c"]


def test_nothing_is_kept_where_nothing_is_asked_for(sample: Make) -> None:
    slates = ClosedSlates(0, 99 * HOUR)
    slates.note(observed(sample, "a"))
    slates.close(sample("a", "final", features=FEATURES))
    assert slates.window(99 * HOUR) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_draw_depends_on_no_order_and_no_repetition(sample: Make, seed: int) -> None:
    rows = [observed(sample, f"r{number}", number % 3) for number in range(60)]
    finals = [sample(row.request_id, "final", row.impression_time_ms) for row in rows]

    def chosen(rows: list[Sample]) -> list[str]:
        slates = ClosedSlates(5, 99 * HOUR)
        for row in rows:
            slates.note(row)
        for final in finals:
            slates.close(final)
        return requests(slates)

    expected = chosen(rows)
    assert len(expected) == 3 * 5
    shuffled = [*rows, *rows[:20]]
    random.Random(seed).shuffle(shuffled)
    assert chosen(shuffled) == expected


def test_a_window_is_the_newest_closed_hours_before_a_time(sample: Make) -> None:
    slates = ClosedSlates(4, 50 * HOUR)
    for hour in range(6):
        slates.note(observed(sample, f"r{hour}", hour))
        slates.close(sample(f"r{hour}", "final", hour * HOUR))
    slates.note(observed(sample, "open", 6))
    assert requests(slates, 2 * HOUR) == ["r4", "r5"]
    assert requests(slates, 2 * HOUR, 4 * HOUR) == ["r2", "r3"]
    assert requests(slates, 2 * HOUR, 0) == []
    again = ClosedSlates(4, 50 * HOUR)
    again.load(slates.to_arrays())
    again.close(sample("open", "final", 6 * HOUR))
    assert requests(again, 2 * HOUR) == ["r5", "open"]
    again.note(observed(sample, "late", 60))
    assert requests(again) == []
