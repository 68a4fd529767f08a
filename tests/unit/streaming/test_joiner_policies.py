"""Label policies, rows at further ages, refunds: what a slate says, told one event at a time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent, Cart, Click, Purchase
from springtide.runtime.config import LabelsConfig
from tests.oracles.joiner_story import DAY, T0, Story, label, make_joiner, refund, served, shown
from tests.oracles.streams import HOUR, LABELS, MINUTE

BOUGHT = label(Purchase, T0 + 3 * HOUR, price=2.0, quantity=2, name="bought")


def story(labels: LabelsConfig = LABELS, **config: Any) -> Story:
    return Story(make_joiner(labels, trigger_records=1, **config)).tell(served(), shown())


def phases(told: Story) -> list[str]:
    return [row.phase for row in told.rows()]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("close", ["final"]),
        ("fast", ["observed", "corrected"]),
        ("full", ["observed", "corrected", "final"]),
    ],
)
def test_a_policy_chooses_the_rows(policy: Any, expected: list[str]) -> None:
    told = story(replace(LABELS, policy=policy)).until(T0 + 2 * HOUR).tell(BOUGHT).until(T0 + DAY + 1)
    assert phases(told) == expected
    assert told.joiner.ledger.slates["final"] == 1
    assert told.joiner.book.open_slates == 0


def test_where_there_is_no_observed_row_the_final_row_carries_features() -> None:
    (final,) = story(replace(LABELS, policy="close")).until(T0 + DAY + 1).rows()
    assert final.features is not None
    assert final.features.item == {"price": [0.0, 1.0]}


def test_each_age_gets_a_row_with_what_is_known_by_then() -> None:
    labels = replace(LABELS, ages=(timedelta(hours=7), timedelta(minutes=15)))
    told = story(labels).tell(label(Click, T0 + 5 * MINUTE), label(Cart, T0 + 20 * MINUTE))
    told.until(T0 + DAY + 1)
    early, late = told.rows("aged")
    assert [row.row_id for row in (early, late)] == [f"r1:aged:{15 * MINUTE}", f"r1:aged:{7 * HOUR}"]
    assert (early.labels["click"], early.labels["cart"]) == ([1, 0], [0, 0])
    assert early.maturity == {"click": "observed", "cart": "open", "purchase": "open"}
    assert (late.labels["cart"], late.maturity["cart"], late.maturity["purchase"]) == ([1, 0], "closed", "observed")
    assert phases(told) == ["aged", "observed", "aged", "final"]


@pytest.mark.parametrize(("features_until", "carried"), [("final", True), ("observed", False)])
def test_features_are_held_no_longer_than_they_are_needed(features_until: Any, carried: bool) -> None:
    labels = replace(LABELS, ages=(timedelta(hours=7),))
    told = story(labels, features_until=features_until).until(T0 + HOUR + 1)
    (slate,) = told.joiner.book.slates.values()
    assert bool(slate.features) == carried
    told.tell(BOUGHT).until(T0 + DAY + 1)
    assert (told.rows("corrected")[0].features is not None) == carried
    assert (told.rows("aged")[0].features is not None) == carried
    assert told.rows("observed")[0].features is not None


@pytest.mark.parametrize("carried", [True, False])
def test_final_rows_carry_features_where_they_are_learned_as_they_come(carried: bool) -> None:
    labels = replace(LABELS, final_features=carried)
    told = story(labels, features_until="observed").tell(BOUGHT).until(T0 + DAY + 1)
    assert told.rows("observed")[0].features is not None
    assert (told.rows("final")[0].features is not None) == carried


def test_a_refund_takes_its_purchase_back_after_the_final_row() -> None:
    told = story().tell(BOUGHT, refund("bought", T0 + 5 * HOUR)).until(T0 + DAY)
    assert "refunded" not in phases(told)
    told.until(T0 + DAY + 1)
    (final,), (row,) = told.rows("final"), told.rows("refunded")
    assert final.labels["purchase"] == [1, 0]
    assert (row.row_id, row.item_ids, row.positions) == ("r1:refunded:bought", ["i0"], [1])
    assert (row.labels, row.delays_ms, row.revenue) == ({"purchase": [0]}, {"purchase": [-1]}, [0.0])
    assert (row.maturity, row.age_ms, row.features) == ({"purchase": "closed"}, 5 * HOUR, None)
    assert told.joiner.ledger.refunds == {"in": 1, "matched": 1}


def test_a_refund_may_come_long_after_the_final_row_and_before_its_purchase() -> None:
    late = story().tell(BOUGHT).until(T0 + DAY + HOUR).tell(refund("bought", T0 + DAY + HOUR)).until(T0 + 2 * DAY)
    first = story().tell(refund("bought", T0 + 3 * HOUR), BOUGHT).until(T0 + DAY + 1)
    assert [row.row_id for row in (*late.rows("refunded"), *first.rows("refunded"))] == ["r1:refunded:bought"] * 2


def test_one_of_two_purchases_of_an_item_stays() -> None:
    second = label(Purchase, T0 + 4 * HOUR, price=5.0, name="second")
    told = story().tell(BOUGHT, second, refund("bought", T0 + 5 * HOUR)).until(T0 + DAY + 1)
    (row,) = told.rows("refunded")
    assert (row.labels["purchase"], row.revenue, row.delays_ms["purchase"]) == ([1], [5.0], [4 * HOUR])
    told.tell(refund("second", T0 + DAY + HOUR)).until(T0 + DAY + 2 * HOUR)
    assert told.rows("refunded")[1].labels["purchase"] == [0]


def test_two_refunds_of_a_purchase_are_one_and_the_earlier_counts() -> None:
    once, again = refund("bought", T0 + 6 * HOUR, "x"), refund("bought", T0 + 5 * HOUR, "y")
    told = story().tell(BOUGHT, once, again, once, again).until(T0 + DAY + 1)
    assert [row.age_ms for row in told.rows("refunded")] == [5 * HOUR]
    told.tell(once)
    assert told.joiner.ledger.refunds == {"in": 5, "matched": 1, "duplicate": 4}
    assert len(told.rows("refunded")) == 1


def test_a_refund_of_an_unknown_purchase_is_an_orphan() -> None:
    stray = refund("never", T0 + MINUTE)
    told = story().tell(stray, stray).until(T0 + HOUR + MINUTE + 1)
    (letter,) = told.letters()
    assert (letter.reason, letter.value) == ("orphan_expired", encode(stray))
    assert told.joiner.ledger.refunds == {"in": 2, "duplicate": 1, "orphan_expired": 1}
    assert told.joiner.book.strays.by_id == {}


def test_a_refund_beyond_its_window_is_late() -> None:
    labels = replace(LABELS, refund=timedelta(days=1, hours=2))
    told = story(labels).tell(BOUGHT).until(T0 + DAY + 3 * HOUR).tell(refund("bought", T0 + DAY + 2 * HOUR + 1))
    told.until(T0 + 2 * DAY)
    assert told.joiner.ledger.refunds == {"in": 1, "late": 1}
    assert told.rows("refunded") == []


def test_a_purchase_is_remembered_as_long_as_it_may_be_refunded() -> None:
    labels = replace(LABELS, refund=timedelta(days=7))
    told = story(labels).tell(BOUGHT, served("plain", T0), shown("plain", T0)).until(T0 + 3 * DAY)
    assert list(told.joiner.book.slates) == ["r1"]
    told.until(T0 + 7 * DAY - HOUR).tell(refund("bought", T0 + 7 * DAY)).until(T0 + 7 * DAY)
    assert told.rows("refunded") == []
    assert len(told.until(T0 + 7 * DAY + 1).rows("refunded")) == 1
    assert told.joiner.book.slates == {}


def test_a_credited_purchase_can_be_refunded() -> None:
    loose = label(Purchase, T0 + HOUR, request="", price=3.0, name="loose")
    told = story().tell(label(Click, T0 + MINUTE), loose, refund("loose", T0 + HOUR + 5)).until(T0 + DAY + 1)
    assert told.rows("final")[0].revenue == [3.0, 0.0]
    assert told.rows("refunded")[0].revenue == [0.0]


def test_a_row_without_items_is_not_said() -> None:
    labels = replace(LABELS, negative_keep=0.000_001)
    told = story(labels).tell(label(Click, T0 + 5, "i1")).until(T0 + DAY + 1)
    assert [row.item_ids for row in told.rows()] == [["i1"], ["i1"]]
    silent = story(labels).until(T0 + DAY + 1)
    assert silent.rows() == []
    assert silent.joiner.ledger.sampled_out == {"observed": 2, "final": 2}
    assert silent.joiner.ledger.slates["final"] == 1


def test_a_label_waits_for_the_second_impression_that_shows_its_item() -> None:
    events: list[AnyEvent] = [label(Click, T0 + 5, "i2"), shown(positions=(3,), name="late", time=T0 + 4)]
    told = story().tell(*events).until(T0 + DAY + 1)
    assert told.rows("final")[0].labels["click"] == [0, 0, 1]
    assert told.letters() == []


def test_a_refund_is_told_once_no_earlier_one_can_come() -> None:
    second, later, earlier = label(Purchase, T0 + 4 * HOUR, price=5.0, name="second"), DAY + 4 * MINUTE, DAY + MINUTE
    told = story().tell(BOUGHT, second).until(T0 + DAY).tell(refund("second", T0 + later))
    told.tell(refund("bought", T0 + earlier)).until(T0 + earlier + 1)
    assert [row.row_id for row in told.rows("refunded")] == ["r1:refunded:bought"]
    assert told.rows("refunded")[0].revenue == [5.0]
    assert told.until(T0 + later + 1).rows("refunded")[1].revenue == [0.0]
