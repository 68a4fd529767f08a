"""At every flush, the newest row of every user and item says what a brute-force count says."""

import random

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
from tests.oracles.batch_features import check_rows, decode_rows
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


def rows_of(messages: list[Message]) -> list[FeatureRow]:
    return decode_rows((message.key, message.value) for message in messages)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_rows_equal_a_brute_force_count(seed: int) -> None:
    events = [event for event in make_events(seed, slates=16, users=4)]
    messages, _ = run_all(events, seed)
    assert check_rows(events, CATALOGUE, rows_of(messages)) > 20


@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_crashes_change_no_count(seed: int) -> None:
    events = make_events(seed, slates=16, users=4)
    messages, _ = run_all(events, seed, random.Random(seed))
    check_rows(events, CATALOGUE, rows_of(messages))


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
    check_rows(events, CATALOGUE, rows_of(messages))
    if copies > 1:
        assert isinstance(cores[0], UserFeatures)
        assert cores[0].dropped["duplicate"] > 0
