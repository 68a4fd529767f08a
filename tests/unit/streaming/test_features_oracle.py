"""At every flush, the newest row of every user and item says what a brute-force count says."""

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.contracts.events import AnyEvent
from springtide.contracts.features import FeatureRow
from springtide.contracts.topics import FEATURES
from streaming.config import FeaturesConfig
from streaming.core import Core, Message, Record
from streaming.features.item_job import ItemFeatures
from streaming.features.state import PARTIALS_TOPIC
from streaming.features.user_job import UserFeatures
from tests.oracles.batch_features import FeatureOracle
from tests.oracles.core_driver import Driver, as_records
from tests.oracles.streams import HOUR, LABELS, disorder, make_events, with_ticks

CONFIG = FeaturesConfig(trigger_records=37)
CATALOGUE = {f"i{number}": (f"c{number % 3}", float(number)) for number in range(7)}


def user_features(partition: int) -> UserFeatures:
    return UserFeatures(
        partition=partition, partitions=2, labels=LABELS, config=CONFIG, outlier_run=20, catalogue=CATALOGUE.get
    )


def item_features(partition: int) -> ItemFeatures:
    return ItemFeatures(partition=partition, partitions=2, config=CONFIG)


def run(driver: Driver, draw: random.Random | None) -> Core:
    while draw is not None and not driver.run_until_crash(draw):
        pass
    return driver.run()


def run_all(events: list[AnyEvent], seed: int, draw: random.Random | None = None) -> tuple[list[Message], list[Core]]:
    """Run two `events` partitions, then both partitions of the internal topic on what those told."""
    sent: list[Message] = []
    told: dict[int, list[Record]] = {0: [], 1: []}
    cores: list[Core] = []
    for partition in (0, 1):
        mine = [event for event in events if int(event.user_id[1:]) % 2 == partition]
        log = as_records(with_ticks(disorder(mine, seed), partition, until_ms=9 * 24 * HOUR))
        driver = Driver(lambda partition=partition: user_features(partition), log)  # type: ignore[misc]
        cores.append(run(driver, draw))
        for message in driver.sent:
            if message.topic == FEATURES.name:
                sent.append(message)
            else:
                assert message.topic == PARTIALS_TOPIC
                assert message.partition is not None
                log_of = told[message.partition]
                log_of.append(Record(len(log_of), message.key, message.value))
    for partition, log in told.items():
        driver = Driver(lambda partition=partition: item_features(partition), log)  # type: ignore[misc]
        cores.append(run(driver, draw))
        sent += driver.sent
    return sent, cores


def newest_rows(messages: list[Message]) -> dict[tuple[str, str], dict[int, FeatureRow]]:
    found: dict[tuple[str, str], dict[int, FeatureRow]] = {}
    for message in messages:
        row = msgspec.json.decode(message.value, type=FeatureRow)
        assert message.key == f"{row.entity}:{row.entity_id}".encode()
        found.setdefault((row.entity, row.entity_id), {})[row.event_time_ms] = row
    return found


def check(events: list[AnyEvent], messages: list[Message]) -> int:
    """Compare every emitted row, and at every hour the newest row of every entity, with the oracle."""
    oracle, rows, checked = FeatureOracle(events, CATALOGUE), newest_rows(messages), 0
    start = events[0].event_time_ms
    assert set(rows) == oracle.entities()
    for (entity, entity_id), by_time in rows.items():
        for at_ms, row in by_time.items():
            agree(row, oracle.row(entity, entity_id, at_ms))
            checked += 1
        grid = range(start - start % HOUR + HOUR, start + 30 * HOUR, HOUR)
        for at_ms in [*grid, start - start % HOUR + 8 * 24 * HOUR]:
            said = [by_time[time] for time in sorted(by_time) if time <= at_ms]
            wanted = oracle.row(entity, entity_id, at_ms)
            if said:
                agree(msgspec.structs.replace(said[-1], event_time_ms=at_ms), wanted)
            else:
                assert not any(wanted.values.values())
    return checked


def agree(row: FeatureRow, wanted: FeatureRow) -> None:
    prices = row.values.get("mean_clicked_price_7d", 0.0), wanted.values.get("mean_clicked_price_7d", 0.0)
    assert math.isclose(*prices)
    week_over = not any(value for name, value in wanted.values.items() if name.endswith("_7d"))
    named = {**row.values, "mean_clicked_price_7d": 0.0}, {**wanted.values, "mean_clicked_price_7d": 0.0}
    assert named[0] == named[1], (row, wanted)
    assert row.top_categories == wanted.top_categories
    assert row.top_category_shares == wanted.top_category_shares
    assert row.recent_items == wanted.recent_items or week_over


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_rows_equal_a_brute_force_count(seed: int) -> None:
    events = [event for event in make_events(seed, slates=16, users=4)]
    messages, _ = run_all(events, seed)
    assert check(events, messages) > 20


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_crashes_change_no_count(seed: int) -> None:
    events = make_events(seed, slates=16, users=4)
    messages, _ = run_all(events, seed, random.Random(seed))
    check(events, messages)


def test_nothing_is_kept_in_the_end() -> None:
    events = make_events(3, slates=16, users=4)
    _, cores = run_all(events, 3)
    for core in cores:
        assert isinstance(core, UserFeatures | ItemFeatures)
        assert core.known == 0


@pytest.mark.parametrize("copies", [1, 3])
def test_repetitions_are_counted_once(copies: int) -> None:
    events = make_events(8, slates=16, users=4)
    messages, cores = run_all([event for event in events for _ in range(copies)], 8)
    check(events, messages)
    if copies > 1:
        assert isinstance(cores[0], UserFeatures)
        assert cores[0].dropped["duplicate"] > 0
