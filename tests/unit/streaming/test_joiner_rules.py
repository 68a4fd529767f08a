"""The joiner's rules one by one: window edges, strays, repetitions, credit, the books."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent, Cart, Click, Purchase
from springtide.contracts.topics import SAMPLES
from streaming.config import JoinerConfig
from streaming.core import Record
from streaming.joiner.join import Joiner
from streaming.joiner.windows import Windows
from tests.oracles.joiner_story import DAY, LATENESS, T0, Story, label, served, shown, tick
from tests.oracles.streams import HOUR, LABELS, MINUTE


@pytest.mark.parametrize(
    ("kind", "delay", "counts"),
    [
        (Click, 0, True), (Click, 30 * MINUTE, True), (Click, 30 * MINUTE + 1, False),
        (Cart, 6 * HOUR, True), (Cart, 6 * HOUR + 1, False), (Purchase, DAY, True), (Purchase, DAY + 1, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("label_first", [True, False])
def test_a_label_counts_up_to_its_attribution_window(kind: Any, delay: int, counts: bool, label_first: bool) -> None:
    events: list[AnyEvent] = [served(), shown(), tick(T0 + delay // 2), label(kind, T0 + delay)]
    story = Story().tell(*(events[::-1] if label_first and delay <= LATENESS else events)).until(T0 + DAY + 2)
    task = kind.__name__.lower()
    (final,) = story.rows("final")
    assert final.labels[task] == [int(counts), 0]
    assert final.delays_ms[task] == [delay if counts else -1, -1]
    assert final.maturity[task] == "closed"
    assert (story.outcome(task, "matched"), story.outcome(task, "late")) == (int(counts), int(not counts))


@pytest.mark.parametrize(("delay", "phase"), [(HOUR, "observed"), (HOUR + 1, "corrected")])
def test_the_observed_row_holds_labels_up_to_the_observation_window(delay: int, phase: str) -> None:
    story = Story().tell(served(), shown(), label(Purchase, T0 + delay, price=2.0)).until(T0 + 2 * HOUR)
    (observed,) = story.rows("observed")
    assert observed.labels["purchase"] == [int(phase == "observed"), 0]
    assert [row.row_id for row in story.rows("corrected")] == (
        ["r1:corrected:purchase:i0"] if phase == "corrected" else []
    )
    assert observed.maturity == {"click": "closed", "cart": "observed", "purchase": "observed"}


def test_nothing_is_said_before_the_watermark_is_beyond_the_window() -> None:
    story = Story().tell(served(), shown()).until(T0 + HOUR)
    assert story.rows() == []
    assert [row.phase for row in story.until(T0 + HOUR + 1).rows()] == ["observed"]
    assert len(story.until(T0 + DAY).rows()) == 1
    assert [row.phase for row in story.until(T0 + DAY + 1).rows()] == ["observed", "final"]


def test_a_correction_carries_the_item_alone() -> None:
    story = Story().tell(served(), shown(), label(Purchase, T0 + 3 * HOUR, "i1", price=2.0)).until(T0 + 4 * HOUR)
    (row,) = story.rows("corrected")
    assert (row.item_ids, row.positions, row.propensities) == (["i1"], [2], [1.0])
    assert row.labels == {"purchase": [1]}
    assert row.age_ms == 3 * HOUR
    assert row.features is not None
    assert row.features.item == {"price": [1.0]}


def test_rows_go_into_the_partition_of_their_events() -> None:
    joiner = Joiner(partition=3, windows=Windows.of(LABELS), config=JoinerConfig(trigger_records=1, outlier_run=3))
    story = Story(joiner).tell(served(), shown()).tell(tick(T0 + 12 * HOUR, partition=3))
    rows = [message for message in story.sent if message.topic == SAMPLES.name]
    assert [message.partition for message in rows] == [3]
    assert {message.key for message in rows} == {b"r1"}


def test_a_label_that_comes_when_its_row_is_out_is_corrected_once() -> None:
    story = Story().tell(served(), shown()).until(T0 + HOUR + 1)
    late = label(Cart, T0 + 10 * MINUTE)
    story.tell(late, late, label(Cart, T0 + 11 * MINUTE)).until(T0 + 2 * HOUR)
    assert [row.delays_ms for row in story.rows("corrected")] == [{"cart": [10 * MINUTE]}]
    assert (story.outcome("cart", "matched"), story.outcome("cart", "duplicate")) == (2, 1)


def test_repetitions_are_counted_and_change_nothing() -> None:
    once: list[AnyEvent] = [served(), shown(), label(Click, T0 + 1)]
    story = Story().tell(*(event for event in once for _ in range(4))).until(T0 + DAY + 1)
    assert story.joiner.ledger.duplicates == {"served": 3, "impression": 3, "click": 3}
    plain = Story().tell(*once).until(T0 + DAY + 1)
    assert story.rows() == plain.rows()


def test_events_of_a_final_slate_do_not_open_it_again() -> None:
    story = Story().tell(served(), shown()).until(T0 + DAY + 1)
    story.tell(served(), shown(), label(Purchase, T0 + HOUR, price=1.0)).until(T0 + DAY + 2 * HOUR)
    assert len(story.rows()) == 2
    assert story.outcome("purchase", "late") == 1


def test_a_label_may_come_before_its_slate() -> None:
    story = Story().tell(label(Click, T0 + 2))
    assert story.joiner.waiting() == {"click": 1}
    story.tell(shown(time=T0 + 1), served()).until(T0 + 2 * HOUR)
    assert story.rows("observed")[0].labels["click"] == [1, 0]
    assert story.joiner.waiting() == {}


def test_strays_expire_into_the_dead_letters() -> None:
    story = (
        Story().tell(label(Click, T0, request="lost"), shown("other", T0), served("unseen", T0)).until(T0 + HOUR + 1)
    )
    assert sorted(letter.reason for letter in story.letters()) == ["impression_without_served", "orphan_expired"]
    assert story.outcome("click", "orphan_expired") == 1
    assert story.joiner.ledger.slates["dropped"] == 1
    assert story.joiner.book.slates == {}
    assert msgspec.json.decode(story.letters()[0].value, type=AnyEvent) is not None


def test_a_label_of_an_item_not_shown_is_matched_and_told() -> None:
    story = Story().tell(served(), shown(), label(Click, T0 + 1, "i2")).until(T0 + DAY + 1)
    assert story.rows("final")[0].labels["click"] == [0, 0]
    assert [letter.reason for letter in story.letters()] == ["unknown_position"]
    assert story.outcome("click", "matched") == 1


def test_positions_that_the_slate_has_not_are_told_and_dropped() -> None:
    story = Story().tell(shown(positions=(0, 1, 9)), served()).until(T0 + DAY + 1)
    assert story.rows("final")[0].positions == [1]
    assert [letter.reason for letter in story.letters()] == ["unknown_position"]


def test_two_impressions_of_a_slate_are_one() -> None:
    story = Story().tell(served(), shown(time=T0 + 10, positions=(2, 3), name="b"), shown(positions=(1, 2)))
    (row,) = story.until(T0 + DAY + 1).rows("final")
    assert (row.positions, row.impression_time_ms) == ([1, 2, 3], T0)


def test_a_purchase_without_a_request_goes_to_the_last_click() -> None:
    story = Story().tell(served("a", T0), shown("a", T0), served("b", T0 + 1), shown("b", T0 + 1))
    story.tell(label(Click, T0 + 5, request="b"), label(Click, T0 + 9, request="a"))
    story.tell(label(Click, T0 + 20, request="b"), label(Purchase, T0 + 10, request="", price=4.0, quantity=2))
    story.until(T0 + DAY + 2)
    assert {row.request_id: row.revenue for row in story.rows("final")} == {"a": [8.0, 0.0], "b": [0.0, 0.0]}


def test_a_purchase_without_request_and_click_is_an_orphan() -> None:
    story = Story().tell(served(), shown(), label(Purchase, T0 + 10, request="", price=4.0)).until(T0 + 11)
    assert story.outcome("purchase", "orphan_expired") == 1
    assert [letter.reason for letter in story.letters()] == ["orphan_expired"]


def test_a_late_last_touch_purchase_does_not_fall_to_an_older_slate() -> None:
    """The last click was in slate a, which is final; slate b, still open, was clicked before."""
    story = Story().tell(served("a", T0), shown("a", T0), served("b", T0 + 10), shown("b", T0 + 10))
    story.tell(label(Click, T0 + 20, request="b"), label(Click, T0 + 25, request="a"))
    story.until(T0 + DAY + 1).tell(label(Purchase, T0 + DAY + 5, request="", price=1.0)).until(T0 + DAY + HOUR)
    assert story.outcome("purchase", "late") == 1
    assert all(row.labels["purchase"] == [0, 0] for row in story.rows("final"))


@pytest.mark.parametrize("arrives_in_time", [True, False])
def test_a_click_after_its_slate_has_closed_takes_no_credit(arrives_in_time: bool) -> None:
    """Whether the slate was still open when such a click came must not decide: the batch join cannot know."""
    story = Story().tell(served("a", T0), shown("a", T0), served("b", T0 + DAY), shown("b", T0 + DAY))
    story.tell(label(Click, T0 + DAY + 10, request="b"))
    late = label(Click, T0 + DAY + 20, request="a")
    if arrives_in_time:
        story.tell(late).until(T0 + DAY + HOUR)
    else:
        story.until(T0 + DAY + HOUR).tell(late)
    story.tell(label(Purchase, T0 + DAY + 2 * HOUR, request="", price=1.0)).until(T0 + 2 * DAY + 2)
    assert {row.request_id: row.labels["purchase"] for row in story.rows("final")} == {"a": [0, 0], "b": [1, 0]}


def test_a_label_before_its_impression_has_no_delay() -> None:
    story = Story().tell(served(), shown(time=T0 + 50), label(Click, T0 + 20)).until(T0 + DAY + HOUR)
    assert story.rows("final")[0].delays_ms["click"] == [0, -1]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "undecodable"), (b"", "undecodable"), (encode(tick(T0, partition=1)), "wrong_partition"),
        (encode(tick(T0 + DAY + 1)), "outlier_time"), (encode(served(time=T0 // 1000)), "outlier_time"),
        (encode(served(propensities=[0.5])), "undecodable"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_whole(value: bytes, reason: str) -> None:
    story = Story().tell(tick(T0), value, served("good", T0))
    (letter,) = story.letters()
    assert (letter.reason, letter.value, letter.offset, letter.key) == (reason, value, 1, b"u1")
    assert story.joiner.ledger.slates["in"] == 1
    assert story.joiner.watermark_ms == T0 - LATENESS


def test_a_slate_has_a_bound() -> None:
    config = JoinerConfig(trigger_records=1, labels_per_slate=2)
    story = Story(Joiner(partition=0, windows=Windows.of(LABELS), config=config)).tell(served(), shown())
    story.tell(*(label(Click, T0 + 100 + number) for number in range(5)), label(Click, T0 + 1), label(Cart, T0 + 9))
    (slate,) = story.joiner.book.slates.values()
    assert len(slate.labels) == 4
    row = story.until(T0 + DAY + 1).rows("final")[0]
    assert (row.delays_ms["click"], row.delays_ms["cart"]) == ([1, -1], [9, -1])
    assert story.outcome("click", "matched") == 6


def test_records_up_to_the_applied_offset_are_skipped() -> None:
    story = Story().tell(served(), shown())
    assert not story.joiner.merge(Record(1, b"u1", encode(shown(name="other", positions=(3,)))))
    assert story.joiner.ledger.replayed == 1
    assert next(iter(story.joiner.book.slates.values())).positions == (1, 2)


def test_triggers_follow_from_the_input_alone() -> None:
    config = JoinerConfig(trigger_records=100, trigger_every=timedelta(minutes=10))
    joiner = Joiner(partition=0, windows=Windows.of(LABELS), config=config)
    joiner.merge(Record(0, b"", encode(tick(T0))))
    joiner.collect()
    list(joiner.settle(0))
    told = [joiner.merge(Record(1 + n, b"", encode(tick(T0 + n * MINUTE)))) for n in range(12)]
    assert told == [False] * 10 + [True, True]


def test_a_dead_letter_always_fits_into_a_message() -> None:
    (letter,) = Story().tell(b"{" * 2_000_000).letters()
    assert len(letter.value) == 256 * 1024
    assert "2000000 bytes" in letter.detail


@pytest.mark.parametrize("older_first", [True, False])
def test_of_two_slates_of_one_request_the_older_counts(older_first: bool) -> None:
    slates = [served(arm="older"), served(time=T0 + 7, arm="newer", event_id="r1-again")]
    story = Story().tell(*(slates if older_first else slates[::-1]), shown(time=T0 + 9)).until(T0 + DAY + 1)
    assert {row.arm for row in story.rows()} == {"older"}
    assert story.joiner.ledger.duplicates == {"served": 1}
    assert story.joiner.ledger.slates["in"] == 1


def test_a_correction_waits_until_no_earlier_label_can_come() -> None:
    hours = 2 * HOUR
    story = Story().tell(served(), shown()).until(T0 + hours)
    story.tell(label(Cart, T0 + hours + 4 * MINUTE), label(Cart, T0 + hours + MINUTE, "i1"))
    assert [row.item_ids for row in story.until(T0 + hours + MINUTE + 1).rows("corrected")] == [["i1"]]
    story.tell(label(Cart, T0 + hours + 2 * MINUTE)).until(T0 + hours + HOUR)
    assert [row.age_ms for row in story.rows("corrected")] == [hours + MINUTE, hours + 2 * MINUTE]
