"""Whatever the order, the repetitions and the crashes: the joiner's rows are the batch join's rows."""

import dataclasses
import random
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.contracts.samples import Sample
from springtide.contracts.topics import SAMPLES
from streaming.config import JoinerConfig
from streaming.core import Core, Message
from streaming.joiner.join import Joiner
from streaming.joiner.windows import Windows
from tests.oracles.batch_join import batch_join, compare
from tests.oracles.core_driver import Driver, as_records
from tests.oracles.streams import LABELS, disorder, make_events, with_ticks

CONFIG = JoinerConfig(trigger_every=timedelta(minutes=20), trigger_records=17)


def joiner(config: JoinerConfig = CONFIG) -> Joiner:
    return Joiner(partition=0, windows=Windows.of(LABELS), config=config)


def rows(messages: list[Message]) -> list[Sample]:
    return [msgspec.json.decode(m.value, type=Sample) for m in messages if m.topic == SAMPLES.name]


def balanced(core: Core) -> None:
    assert isinstance(core, Joiner)
    assert core.ledger.slate_residual(core.book.open_slates) == 0
    assert not any(core.ledger.label_residual(core.waiting()).values())


@given(seed=st.integers(0, 2**32), order=st.integers(0, 2**32), period=st.integers(1, 60))
@settings(max_examples=150, deadline=None)
def test_rows_equal_the_batch_join(seed: int, order: int, period: int) -> None:
    events = make_events(seed)
    config = dataclasses.replace(CONFIG, trigger_records=period)
    driver = Driver(lambda: joiner(config), as_records(with_ticks(disorder(events, order), 0)), after_trigger=balanced)
    core = driver.run()
    assert not compare(rows(driver.sent), batch_join(events, LABELS))
    assert isinstance(core, Joiner)
    assert core.ledger.slates["final"] + core.ledger.slates["dropped"] == core.ledger.slates["in"] == 12


@given(seed=st.integers(0, 2**32), lag=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_rows_survive_crashes(seed: int, lag: int) -> None:
    draw = random.Random(seed)
    events = make_events(seed)
    log = as_records(with_ticks(disorder(events, seed), 0))
    driver = Driver(joiner, log, after_trigger=balanced, lag=lag)
    crashes = 0
    while not driver.run_until_crash(draw):
        crashes += 1
    assert crashes
    differences = compare(rows(driver.sent), batch_join(events, LABELS))
    assert not differences, differences


@pytest.mark.parametrize("start_ms", [0, 1_700_000_000_000, 4_102_444_800_000])
def test_no_result_depends_on_the_century(start_ms: int) -> None:
    events = make_events(5, start_ms=start_ms)
    driver = Driver(joiner, as_records(with_ticks(events, 0)))
    driver.run()
    assert not compare(rows(driver.sent), batch_join(events, LABELS))


def test_a_second_run_gives_the_same_bytes() -> None:
    log = as_records(with_ticks(disorder(make_events(7, slates=40), 7), 0))
    first, second = Driver(joiner, log), Driver(joiner, log)
    first.run()
    second.run()
    assert first.sent == second.sent


def test_state_is_empty_when_all_is_said() -> None:
    driver = Driver(joiner, as_records(with_ticks(make_events(3), 0)))
    core = driver.run()
    assert isinstance(core, Joiner)
    assert not core.book.slates
    assert not core.book.strays.by_id
    assert core.book.timers == 0
    assert set(driver.table) == {b"0/m"}


def test_the_oracle_comparison_can_fail() -> None:
    events = make_events(11)
    driver = Driver(joiner, as_records(with_ticks(events, 0)))
    driver.run()
    said = rows(driver.sent)
    assert compare(said[1:], batch_join(events, LABELS)).missing == [said[0].row_id]
    changed = msgspec.structs.replace(said[0], age_ms=1)
    assert compare([changed, *said], batch_join(events, LABELS)).conflicts == [said[0].row_id]
