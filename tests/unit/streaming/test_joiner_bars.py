"""The bars of the joiner that need no broker, each by its number (docs/joiner.md): rows equal a batch join, whatever.

Streams are random and every case prints its seeds when it fails; the choice of cases is the same in every run.
"""

import hashlib
import math
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Label, Purchase, Served, Tick
from springtide.contracts.samples import Sample
from springtide.contracts.topics import SAMPLES
from springtide.runtime.config import LabelsConfig
from streaming.config import FeaturesUntil, JoinerConfig
from streaming.core import Core, Message
from streaming.joiner.join import Joiner
from streaming.joiner.windows import Windows
from tests.oracles.batch_join import batch_join, compare
from tests.oracles.core_driver import Driver, as_records
from tests.oracles.joiner_story import (
    DAY,
    LATENESS,
    T0,
    Story,
    balanced,
    label,
    make_joiner,
    rows_of,
    served,
    shown,
    tick,
)
from tests.oracles.streams import HOUR, LABELS, MINUTE, disorder, make_events, with_ticks

SETTINGS: list[LabelsConfig] = [
    LABELS,
    LABELS,
    replace(LABELS, policy="close", ages=(timedelta(minutes=20),)),
    replace(LABELS, policy="fast"),
    replace(LABELS, ages=(timedelta(0), timedelta(hours=1), timedelta(hours=7)), negative_keep=0.5),
    replace(LABELS, negative_keep=0.2),
    replace(LABELS, negative_keep=0.6, final_features=True),
]
CALM: dict[str, Any] = {
    "deadline": None, "derandomize": True, "database": None, "phases": (Phase.explicit, Phase.generate),
}  # fmt: skip
FAST = settings(max_examples=40, **CALM)


def run(
    events: Iterable[AnyEvent],
    labels: LabelsConfig = LABELS,
    *,
    period: int = 17,
    every_ms: int = HOUR,
    features_until: FeaturesUntil = "final",
) -> Driver:
    """Let a core read events as they come, and ticks until all is due."""
    config = JoinerConfig(trigger_every=timedelta(minutes=20), trigger_records=period, features_until=features_until)

    def fresh() -> Joiner:
        return Joiner(partition=0, windows=Windows.of(labels), config=config)

    log = as_records(with_ticks(list(events), 0, every_ms=every_ms))
    driver = Driver(fresh, log, after_trigger=balanced)
    driver.run()
    return driver


def in_time(events: list[AnyEvent]) -> list[AnyEvent]:
    """Leave out labels behind their window: those are counted as late however often they come."""
    start = {event.request_id: event.event_time_ms for event in events if isinstance(event, Impression)}
    window = {Click: 30 * MINUTE, Cart: 6 * HOUR, Purchase: 24 * HOUR}
    return [
        event
        for event in events
        if not isinstance(event, Click | Cart | Purchase)
        or event.event_time_ms - start.get(event.request_id, event.event_time_ms) <= window[type(event)]
    ]


def payloads(messages: list[Message]) -> Counter[bytes]:
    """Count rows, so that a row said twice is another multiset."""
    return Counter(message.value for message in messages if message.topic == SAMPLES.name)


@pytest.mark.parametrize("features_until", ["final", "observed"])  # 1,000 streams in all
def test_bar_01_rows_equal_the_batch_join(features_until: FeaturesUntil) -> None:
    draw = random.Random(1)  # no Hypothesis: its own part of a stream takes as long as the joiner's
    for number in range(500):
        seed, order, period = draw.getrandbits(32), draw.getrandbits(32), draw.randint(1, 40)
        variant = number % len(SETTINGS)
        labels = SETTINGS[variant]
        events = make_events(seed, slates=3, users=2, refunds=True)
        driver = run(disorder(events, order), labels, period=period, every_ms=6 * HOUR, features_until=features_until)
        expected = batch_join(events, labels, corrections_carry_features=features_until == "final")
        differences = compare(rows_of(driver.sent), expected)
        case = f"seed {seed}, order {order}, period {period}, variant {variant}"
        assert not differences, f"{case}: {differences}"
        assert not differences.repeated, case


@given(seed=st.integers(0, 2**32), order=st.integers(0, 2**32))
@FAST
def test_bar_02_any_order_within_the_lateness_gives_the_same_rows(seed: int, order: int) -> None:
    events = make_events(seed, slates=6, refunds=True)
    draw = random.Random(order)

    def arriving(delay: Any) -> list[AnyEvent]:
        return [e for _, _, e in sorted((e.event_time_ms + delay(e), draw.random(), e) for e in events)]

    mixed = arriving(lambda event: draw.randrange(LATENESS))
    labels_first = arriving(lambda event: 0 if isinstance(event, Label) else LATENESS - 1)
    slates_first = arriving(lambda event: LATENESS - 1 if isinstance(event, Label) else 0)
    said = [payloads(run(order_).sent) for order_ in (events, mixed, labels_first, slates_first)]
    assert said[0] == said[1] == said[2] == said[3], f"seed {seed}, order {order}"


@given(seed=st.integers(0, 2**32), most=st.integers(1, 5))
@FAST
def test_bar_03_repetitions_change_nothing_and_are_counted(seed: int, most: int) -> None:
    events = in_time(make_events(seed, slates=6))
    draw = random.Random(seed)
    copies = [event for event in events for _ in range(draw.randint(1, most))]
    arrivals = [e for _, _, e in sorted((e.event_time_ms + draw.randrange(LATENESS), draw.random(), e) for e in copies)]
    core: list[Core] = []
    driver = Driver(make_joiner, as_records(with_ticks(arrivals, 0, every_ms=HOUR)), after_trigger=core.append)
    driver.run()
    assert payloads(driver.sent) == payloads(run(events).sent), f"seed {seed}"
    last = core[-1]
    assert isinstance(last, Joiner)
    extra = Counter(type(event).__name__.lower() for event in copies)
    extra.subtract(Counter(type(event).__name__.lower() for event in events))
    assert last.ledger.duplicates == +extra, f"seed {seed}"


EDGES = {
    Click: (10 * MINUTE, 30 * MINUTE),
    Cart: (HOUR, 6 * HOUR),
    Purchase: (HOUR, DAY),
}


@pytest.mark.parametrize("kind", list(EDGES))
@pytest.mark.parametrize("edge", [0, 1])
@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("label_first", [True, False])
def test_bar_04_window_edges_are_inclusive(kind: Any, edge: int, off: int, label_first: bool) -> None:
    """A label counts in a row up to and with its age, and in any row up to and with its attribution window."""
    delay, task = EDGES[kind][edge] + off, kind.__name__.lower()
    events: list[AnyEvent] = [served(), shown(), label(kind, T0 + delay)]
    joiner = make_joiner(trigger_records=10**9, trigger_every=timedelta(days=9))
    for record in as_records(events[::-1] if label_first else events):
        joiner.merge(record)
    for record in as_records([tick(T0 + 12 * HOUR * n) for n in range(1, 4)]):
        joiner.merge(record._replace(offset=record.offset + 10))
    rows = {row.phase: row for row in rows_of(joiner.collect())}
    observed, attributed = delay <= HOUR, delay <= EDGES[kind][1]
    assert rows["observed"].labels[task] == [int(observed and attributed), 0]
    assert rows["final"].labels[task] == [int(attributed), 0]
    assert rows["final"].delays_ms[task] == [delay if attributed else -1, -1]
    assert ("corrected" in rows) == (attributed and not observed)
    assert rows["observed"].maturity == {"click": "closed", "cart": "observed", "purchase": "observed"}


def test_bar_04_equal_times_are_no_conflict() -> None:
    story = Story().tell(label(Click, T0), shown(), served(), label(Cart, T0)).until(T0 + DAY + 1)
    (final,) = story.rows("final")
    assert (final.delays_ms["click"], final.delays_ms["cart"]) == ([0, -1], [0, -1])


def test_bar_05_state_holds_what_is_pending_and_nothing_else() -> None:
    story = Story().tell(served("a"), shown("a"), served("b", T0 + HOUR), shown("b", T0 + HOUR))
    book = story.joiner.book

    def stages() -> dict[str, int]:
        return {request_id: slate.stage for request_id, slate in book.slates.items()}

    story.until(T0 + HOUR)
    assert stages() == {"a": 0, "b": 0}
    story.until(T0 + HOUR + 1)
    assert stages() == {"a": 1, "b": 0}
    story.until(T0 + DAY + 1)
    assert stages() == {"a": 2, "b": 1}
    assert book.slates["a"].closed
    story.until(T0 + 2 * DAY + 1)
    assert stages() == {"b": 2}
    story.until(T0 + 2 * DAY + HOUR + 1)
    assert stages() == {}
    assert book.timers == 0
    assert story.joiner.pending_bytes == 0
    assert set(story.table) == {b"0/m"}


@given(seed=st.integers(0, 2**32))
@FAST
def test_bar_05_nothing_is_left_of_any_stream(seed: int) -> None:
    last: list[Core] = []
    events = disorder(make_events(seed, slates=6, refunds=True), seed)
    log = as_records(with_ticks(events, 0, every_ms=HOUR, until_ms=120 * HOUR))
    driver = Driver(make_joiner, log, after_trigger=last.append)
    core = driver.run()
    driver.sent += core.collect()
    for write in core.settle(log[-1].offset):
        driver.write(write.key, write.value)
    assert isinstance(core, Joiner)
    assert (core.book.slates, core.book.strays.by_id, core.book.timers, core.pending_bytes) == ({}, {}, 0, 0)
    assert set(driver.table) == {b"0/m"}, f"seed {seed}"


@given(seed=st.integers(0, 2**32), order=st.integers(0, 2**32))
@FAST
def test_bar_06_no_negative_is_said_too_early(seed: int, order: int) -> None:
    events = disorder(make_events(seed, slates=6), order)
    core = make_joiner(trigger_records=5, trigger_every=timedelta(minutes=1))
    for record in as_records(with_ticks(events, 0)):
        if core.merge(record):
            for row in rows_of(core.collect()):
                assert core.watermark_ms is not None
                assert row.phase == "corrected" or core.watermark_ms > row.impression_time_ms + row.age_ms
            list(core.settle(record.offset))


def test_bar_07_the_watermark_never_goes_back() -> None:
    core, seen = make_joiner(), []
    for record in as_records(disorder(make_events(1, slates=30), 1)):
        core.merge(record)
        seen.append(core.watermark_ms or 0)
    assert seen == sorted(seen)
    assert len(set(seen)) > 30


def test_bar_07_an_idle_partition_lives_on_by_its_ticks() -> None:
    story = Story().tell(served(), shown()).until(T0 + HOUR)
    assert not story.rows()
    assert len(story.until(T0 + HOUR + 1).rows("observed")) == 1


@pytest.mark.parametrize("time_ms", [T0 + DAY + 1, T0 // 1000, T0 * 1000])
def test_bar_07_an_outlier_is_put_aside_and_moves_nothing(time_ms: int) -> None:
    story = Story().tell(tick(T0), served("odd", time_ms))
    assert [letter.reason for letter in story.letters()] == ["outlier_time"]
    assert story.joiner.newest_ms == T0


@pytest.mark.parametrize("start_ms", [0, 4_102_444_800_000])
def test_bar_08_rows_depend_on_no_clock_and_no_century(start_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(rows: list[Sample]) -> dict[str, Sample]:
        first = min(row.impression_time_ms for row in rows)
        return {
            row.row_id: msgspec.structs.replace(row, impression_time_ms=row.impression_time_ms - first, features=None)
            for row in rows
        }

    def no_clock() -> float:
        raise AssertionError("the core looked at a clock")

    now = rows_of(run(make_events(5, slates=20)).sent)
    for name in ("time", "time_ns", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, no_clock)
    then = rows_of(run(make_events(5, slates=20, start_ms=start_ms)).sent)
    monkeypatch.undo()
    assert shifted(then) == shifted(now)


def said_twice(seed: int) -> str:
    """Say a stream; its digest."""
    driver = run(disorder(make_events(seed, slates=30, refunds=True), seed))
    return hashlib.sha256(b"\n".join(message.value for message in driver.sent)).hexdigest()


def test_bar_09_a_second_process_says_the_same_bytes_in_the_same_order() -> None:
    code = "from tests.unit.streaming.test_joiner_bars import said_twice; print(said_twice(7))"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert other.stdout.strip() == said_twice(7)


def test_bar_23_sampled_negatives_are_put_right_by_the_log_of_their_share() -> None:
    """A model that learns the level of kept rows is calibrated once ln r is added to its log odds."""
    keep, draw = 0.1, random.Random(23)
    labels = replace(LABELS, negative_keep=keep)
    events: list[AnyEvent] = []
    for number in range(1500):
        request, start = f"request-{number}", T0 + number * 1000
        events += [served(request, start, items=10), shown(request, start, positions=tuple(range(1, 11)))]
        events += [label(Click, start + 5, f"i{n}", request) for n in range(10) if draw.random() < 0.06]
    rows = [row for row in rows_of(run(events, labels, period=10**6).sent) if row.phase == "final"]
    kept = [y for row in rows for y in row.labels["click"]]
    positives = sum(kept)
    assert positives == sum(isinstance(event, Click) for event in events)
    odds = positives / (len(kept) - positives)
    predicted = 1 / (1 + math.exp(-(math.log(odds) + math.log(rows[0].negative_keep))))
    pcoc = predicted / (positives / 15_000)
    assert 0.97 <= pcoc <= 1.03, pcoc
    again = [row for row in rows_of(run(events, labels, period=99).sent) if row.phase == "final"]
    assert {row.row_id: row.item_ids for row in rows} == {row.row_id: row.item_ids for row in again}


@given(seed=st.integers(0, 2**32), order=st.integers(0, 2**32))
@FAST
def test_bar_24_the_books_balance_at_every_tick(seed: int, order: int) -> None:
    arrivals = with_ticks(disorder(make_events(seed, slates=6, refunds=True), order), 0, every_ms=HOUR)
    core = make_joiner(trigger_records=7)
    came: Counter[str] = Counter()
    for event, record in zip(arrivals, as_records(arrivals), strict=True):
        came[type(event).__name__.lower()] += 1
        if core.merge(record):
            core.collect()
            list(core.settle(record.offset))
        balanced(core)
        assert core.ledger.events == came, f"seed {seed}, order {order}"
        assert sum(core.ledger.labels[task, "in"] for task in ("click", "cart", "purchase")) == sum(
            came[task] for task in ("click", "cart", "purchase")
        )
        assert core.ledger.refunds["in"] == came["refund"]
    shown_items = {(row.request_id, item) for row in core_rows(arrivals) for item in row.item_ids}
    assert core.ledger.impressions["final"] == len(shown_items)


def core_rows(arrivals: list[AnyEvent]) -> list[Sample]:
    """Join in batch; final rows hold every shown item."""
    return [row for row in batch_join([e for e in arrivals if not isinstance(e, Tick)], LABELS) if row.phase == "final"]


def test_the_comparison_can_fail() -> None:
    events = make_events(11)
    said = rows_of(run(events).sent)
    assert compare(said[1:], batch_join(events, LABELS)).missing == [said[0].row_id]
    changed = msgspec.structs.replace(said[0], age_ms=1)
    assert compare([changed, *said], batch_join(events, LABELS)).conflicts == [said[0].row_id]
    assert encode(said[0]) != encode(changed)
    assert isinstance(events[0], Served | Impression | Label)
