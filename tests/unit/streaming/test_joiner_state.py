"""What the joiner keeps, how it lies in the table, how much it is; rows against the contract's own encoding."""

import random
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Histogram

from springtide.contracts.codec import encode
from springtide.contracts.events import Cart, Click, Context, Served, SlateFeatures
from springtide.contracts.samples import Sample
from springtide.contracts.topics import SAMPLES
from streaming.core import Record
from streaming.joiner.segments import Segments
from streaming.joiner.served import ServedSlate, Shapes, input_decoder
from streaming.joiner.state import Slate
from streaming.joiner.timers import Timers
from streaming.tally import Tally
from tests.oracles.core_driver import Driver, as_records
from tests.oracles.joiner_story import DAY, T0, Story, label, make_joiner, served, shown
from tests.oracles.streams import HOUR, disorder, make_events, with_ticks


def test_a_row_is_what_the_contract_encodes() -> None:
    odd = served(
        request='r"%b\\', items=3, arm="§%d", other_arms={"a": 'q"'}, context=Context(device="π", country='"'),
        scores={"click": [1e-05, 0.5, 3.0]}, item_ids=["%", 'i"', "i2"], fallback="50%",
    )  # fmt: skip
    story = Story().tell(odd, shown('r"%b\\', positions=(1, 2, 3)), served("part"), shown("part"))
    story.tell(label(Click, T0 + 5, "i1", "part"), label(Cart, T0 + 2 * HOUR, "%", 'r"%b\\')).until(T0 + 2 * DAY)
    said = [message.value for message in story.sent if message.topic == SAMPLES.name]
    assert sorted(row.phase for row in story.rows()) == ["corrected", *["final"] * 2, *["observed"] * 2]
    for value in said:
        row = msgspec.json.decode(value, type=Sample)
        assert encode(row) == value
        assert list(msgspec.json.decode(value)) == list(Sample.__struct_fields__)
    whole = next(row for row in story.rows("observed") if row.request_id == odd.request_id)
    assert (whole.request_id, whole.arm, whole.item_ids, whole.features) == (
        odd.request_id, odd.arm, odd.item_ids, odd.features
    )  # fmt: skip


GOOD: dict[str, Any] = {"version": 1, "feature_time_ms": 5, "user": {"clicks_1d": 1.5}, "item": {"price": [1, 2e-7, 3]}}
BAD: list[dict[str, Any]] = [
    {"item": {"price": [1, 2]}}, {"item": {"price": [1, 2, "3"]}}, {"item": {"price": [1, [2], 3]}},
    {"item": {"price": [1, None, 3]}}, {"user": {"clicks_1d": "1.5"}}, {"item_category": ["a"]},
    {"item_category": ["a", "b", 3]}, {"version": None}, {"recent_items": [7]}, {"item": {"price": {"a": 1}}},
    {"recent_behaviours": [7]},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD)
def test_a_shape_known_as_good_lets_nothing_else_through(change: dict[str, Any]) -> None:
    shapes = Shapes()

    def problem(features: dict[str, Any]) -> str:
        value = encode({**msgspec.to_builtins(served()), "features": features})
        event = input_decoder.decode(value)
        assert isinstance(event, ServedSlate)
        try:
            return shapes.problem(event, value)
        except msgspec.DecodeError as error:
            return str(error)

    assert not problem(GOOD)
    assert problem({**GOOD, **change})
    assert not problem({**GOOD, "item": {"price": [9.25, 0, 17e3]}})


def test_an_unusual_slate_is_no_slate_of_another_length() -> None:
    """The same columns under another number of items."""
    shapes = Shapes()
    for items, wrong in ((3, False), (2, True)):
        event = served(item_ids=[f"i{n}" for n in range(items)])
        decoded = input_decoder.decode(encode(event))
        assert isinstance(decoded, ServedSlate)
        assert bool(shapes.problem(decoded, encode(event))) == wrong


def test_segments_keep_the_newest_version_whatever_is_deleted() -> None:
    """Random writes, releases and give-ups against a plain dictionary, a restart after every one of them."""
    draw = random.Random(5)
    segments, table, expected = Segments(0), dict[bytes, bytes](), dict[str, int]()
    slates: dict[str, Slate] = {}
    for step in range(400):
        changed = {}
        for name in draw.sample([f"r{n}" for n in range(30)], draw.randrange(6)):
            slate = slates.setdefault(name, Slate(name, origin=b"x"))
            slate.served_ms, slate.stage = step, draw.randrange(3)
            changed[name], expected[name] = slate, step
        for name in draw.sample(sorted(slates), min(len(slates), draw.randrange(3))):
            slate = slates.pop(name)
            expected.pop(name)
            if slate.segment:
                changed[name] = Slate(name, segment=slate.segment)
            else:
                changed.pop(name)
        writes = [*segments.write(changed.values()), *segments.delete_idle()]
        for write in writes:
            if write.value is None:
                del table[write.key]
            else:
                table[write.key] = write.value
            if write is not writes[-1] and draw.random() < 0.1:
                assert Segments(0).load(table).keys() >= expected.keys() - changed.keys()
        again = Segments(0)
        found = again.load(table)
        assert {name: slate.served_ms for name, slate in found.items()} == expected, step
        if draw.random() < 0.2:
            segments, slates = again, found
    assert len(table) < 60


def test_timers_fall_due_in_order_whatever_the_buckets() -> None:
    draw, timers = random.Random(3), Timers(1000)
    due = [(draw.randrange(50_000), f"s{number}") for number in range(500)]
    for time_ms, subject in due:
        timers.add(time_ms, subject)
    taken: list[tuple[int, str]] = []
    for watermark in range(0, 50_001, 333):
        now = list(timers.take_due(watermark))
        assert all(time_ms < watermark for time_ms, _ in now)
        taken += now
        if draw.random() < 0.3:
            late = (draw.randrange(watermark + 1), f"late{watermark}")
            timers.add(*late)
            assert late in [*timers.take_due(watermark + 1)]
    assert [entry for entry in taken if not entry[1].startswith("late")] == sorted(due)
    assert len(timers) == 0


def test_pending_bytes_are_the_sum_over_what_is_pending() -> None:
    core = make_joiner(trigger_records=9)

    def check(_: Any) -> None:
        kept = sum(slate.estimate() for slate in core.book.slates.values())
        assert core.pending_bytes == kept + core.book.strays.bytes

    driver = Driver(lambda: core, as_records(with_ticks(disorder(make_events(4, slates=30, refunds=True), 4), 0)))
    driver.after_trigger = check
    driver.run()
    assert driver.triggers > 20
    restored = make_joiner()
    story = Story().tell(served(), shown(), label(Click, T0 + 5))
    restored.restore(story.table)
    assert restored.pending_bytes == story.joiner.pending_bytes > 0


def test_a_budget_is_kept_by_reading_no_more_never_by_forgetting() -> None:
    story = Story(make_joiner(trigger_records=1, budget=4_000)).tell(served("a"), shown("a"))
    assert not story.joiner.over_budget
    story.tell(*(served(name) for name in "bcd"))
    assert story.joiner.over_budget
    assert set(story.joiner.book.slates) == set("abcd")
    story.until(T0 + 2 * DAY + 1)
    assert not story.joiner.over_budget


def test_a_slate_is_written_once_a_stage_and_not_once_an_event() -> None:
    core = make_joiner(trigger_records=10**6)
    events = [event for n in range(50) for event in (served(f"r{n}", T0 + n), shown(f"r{n}", T0 + n))]
    for record in as_records(events):
        core.merge(Record(record.offset + 1, record.key, record.value))
    core.collect()
    writes = list(core.settle(200))
    assert [write.key for write in writes] == [b"0/b/1", b"0/m"]


def test_features_pass_through_as_they_came() -> None:
    """Even fields that this version does not know."""
    value = encode({**msgspec.to_builtins(served()), "features": {**GOOD, "added_later": {"x": [1, 2]}}})
    story = Story().tell(value, shown(positions=(1, 2, 3))).until(T0 + 2 * HOUR)
    (message,) = [message for message in story.sent if message.topic == SAMPLES.name]
    assert b'"added_later":{"x":[1,2]}' in message.value
    assert isinstance(story.rows()[0].features, SlateFeatures)
    assert isinstance(served(), Served)


def test_a_tally_counts_as_the_client_library_does() -> None:
    bounds, draw = (0.5, 1.0, 2.0), random.Random(1)
    values = [draw.choice([0.2, 0.5, 1.0, 1.5, 9.0]) for _ in range(50)]
    registry = CollectorRegistry()
    theirs = Histogram("h", "text", ["phase"], buckets=bounds, registry=registry)
    ours = Tally("h", "text", "phase", bounds)
    for value in values:
        theirs.labels(phase="final").observe(value)
        ours.add("final", value)
    ours.add("final", 1.5, times=2)
    for _ in range(2):
        theirs.labels(phase="final").observe(1.5)
    expected = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    found = {(sample.name, *sample.labels.values()): sample.value for sample in ours.family().samples}
    assert found == pytest.approx(expected)
