"""Rows survive crashes at any step of a trigger: they are the batch join's rows."""

import random
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.config import JoinerConfig
from streaming.joiner.join import Joiner
from streaming.joiner.windows import Windows
from tests.oracles.batch_join import batch_join, compare
from tests.oracles.core_driver import Driver, as_records
from tests.oracles.joiner_story import balanced, rows_of
from tests.oracles.streams import LABELS, disorder, make_events, with_ticks

CONFIG = JoinerConfig(trigger_every=timedelta(minutes=20), trigger_records=17)
SETTINGS = [LABELS, replace(LABELS, policy="fast"), replace(LABELS, negative_keep=0.4, ages=(timedelta(hours=3),))]


@given(seed=st.integers(0, 2**32), lag=st.integers(0, 3), variant=st.integers(0, 2))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_rows_survive_crashes(seed: int, lag: int, variant: int) -> None:
    draw, labels = random.Random(seed), SETTINGS[variant]
    events = make_events(seed, slates=5, refunds=True)

    def fresh() -> Joiner:
        return Joiner(partition=0, windows=Windows.of(labels), config=CONFIG)

    driver = Driver(fresh, as_records(with_ticks(disorder(events, seed), 0)), after_trigger=balanced, lag=lag)
    crashes = 0
    while not driver.run_until_crash(draw):
        crashes += 1
    assert crashes
    differences = compare(rows_of(driver.sent), batch_join(events, labels))
    assert not differences, f"seed {seed}, lag {lag}, variant {variant}: {differences}"
