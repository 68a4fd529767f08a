"""A day's final rows: none lost, none twice, each with the features of its own moment."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from springtide.contracts.errors import BrokerError, ShapeError, StateError
from springtide.contracts.events import SlateFeatures
from springtide.contracts.features import (
    COUNTS,
    FEAST_ITEM_VIEW,
    FEAST_USER_VIEW,
    FEATURE_TIME,
    USER_FEATURES,
    USER_LISTS,
    feast_column,
)
from springtide.contracts.samples import Sample
from trainer.config import TrainerConfig
from trainer.day_rows import DayReader
from trainer.logged_features import logged_features
from trainer.moment_features import MomentFeatures
from trainer.sample_index import SampleIndex

DAY_MS = 86_400_000
LOGGED = SlateFeatures(
    version=1, feature_time_ms=5, item={"clicks_1h": [9.0, 9.0], "price": [3.0, 4.0]}, item_category=["a", "b"]
)


class FakeJoin:
    """Feast's answer: each row's number is its place; no user row for the second slate."""

    def __init__(self, lost: int = 0) -> None:
        self.lost = lost

    def join(self, rows: pd.DataFrame, lag: object) -> pd.DataFrame:
        count = len(rows)
        columns: dict[str, Any] = {feast_column(FEAST_ITEM_VIEW, name): np.arange(count) * 1.0 for name in COUNTS}
        for name in (FEATURE_TIME, *USER_FEATURES):
            columns[feast_column(FEAST_USER_VIEW, name)] = np.where(rows["user_id"] == "known", 70.0, np.nan)
        for name in USER_LISTS:
            columns[feast_column(FEAST_USER_VIEW, name)] = pd.Series([["x"]] * count)
        return pd.concat([rows, pd.DataFrame(columns)], axis=1).iloc[: count - self.lost]


def moment(lost: int = 0) -> MomentFeatures:
    features = object.__new__(MomentFeatures)
    features._source = FakeJoin(lost)  # type: ignore[assignment]
    return features


def test_each_slate_gets_its_own_rows(sample: Callable[..., Sample]) -> None:
    rows = [sample("r1", "final", user_id="known", features=LOGGED), sample("r2", "final", features=LOGGED)]
    joined, skew = moment().join(rows)
    first, second = (row.features for row in joined)
    assert first is not None
    assert second is not None
    assert (first.item["clicks_1h"], second.item["clicks_1h"]) == ([0.0, 1.0], [2.0, 3.0])
    assert (first.user["clicks_1d"], first.feature_time_ms) == (70.0, 70)
    assert (second.user, second.feature_time_ms) == ({}, 0)
    assert first.item["price"] == [3.0, 4.0]
    assert first.item_category == ["a", "b"]
    assert skew["item.clicks_1h"]["mean_gap"] == pytest.approx((9 + 8 + 7 + 6) / 4)


def test_a_row_lost_in_the_join_is_an_error(sample: Callable[..., Sample]) -> None:
    with pytest.raises(ShapeError, match="expected 2 rows back from Feast, got 1"):
        moment(lost=1).join([sample("r1", "final", features=LOGGED)])


class FakeFeed:
    """Rows of one partition, by offset."""

    def __init__(self, rows: list[Sample]) -> None:
        self.rows, self.index, self.source = rows, SampleIndex(), self
        self.offsets = {0: len(rows)}
        for offset, row in enumerate(rows):
            self.index.note(0, offset, "final" if row.phase == "final" else "fast", row.impression_time_ms // DAY_MS)

    def read(self, spans: dict[int, tuple[int, int]]) -> Iterator[Sample]:
        for first, end in spans.values():
            yield from self.rows[first:end]


def test_a_day_is_read_once_and_what_lacks_features_is_counted(sample: Callable[..., Sample]) -> None:
    times = {"r1": 2 * DAY_MS, "r2": 2 * DAY_MS + 9, "r3": 2 * DAY_MS + 10, "later": 3 * DAY_MS}
    rows = [sample(name, "observed", time_ms=times[name], features=LOGGED) for name in ("r1", "later")]
    rows.append(sample("r3", "observed", time_ms=times["r3"], items=3, features=LOGGED))  # not the items that are final
    rows += [sample(name, "final", time_ms=time) for name, time in times.items()]
    rows.append(sample("r1", "final", time_ms=times["r1"]))  # repeated by the joiner
    reader, feed = DayReader(TrainerConfig(daily_features="logged"), Path()), FakeFeed(rows)
    reader.begin(2, feed)  # type: ignore[arg-type]
    feed.index.note(0, len(rows), "final", 2)  # what comes while the day is read is not of it
    feed.rows.append(sample("r4", "final", time_ms=2 * DAY_MS + 20))
    day = reader.take(2)
    assert [row.request_id for row in day.samples] == ["r1"]
    assert [row.features for row in day.samples] == [LOGGED]
    assert (day.report.slates, day.report.without_logged, day.report.repeated) == (1, 2, 1)


def test_a_day_is_read_in_a_thread_of_its_own_whose_errors_come_out(sample: Callable[..., Sample]) -> None:
    go_on = threading.Event()

    class SlowFeed(FakeFeed):
        def read(self, spans: dict[int, tuple[int, int]]) -> Iterator[Sample]:
            assert go_on.wait(20)
            raise BrokerError("samples: expected offset 9 of partition 0, got none; try again")

    reader = DayReader(TrainerConfig(daily_features="logged"), Path())
    with pytest.raises(StateError, match="expected day 2 to be begun"):
        reader.take(2)
    reader.begin(2, SlowFeed([sample("r1", "final", time_ms=2 * DAY_MS)]))  # type: ignore[arg-type]
    assert not reader.ready()
    go_on.set()
    with pytest.raises(BrokerError, match="expected offset 9"):
        reader.take(2)


def test_a_late_label_of_an_item_that_was_sampled_out_brings_its_own_features(sample: Callable[..., Sample]) -> None:
    own = SlateFeatures(version=1, feature_time_ms=5, item={"clicks_1h": [7.0], "price": [8.0]}, item_category=["c"])
    observed = sample("r1", features=LOGGED)
    corrected = sample("r1", "corrected", items=1, item_ids=["late"], features=own)
    final = sample("r1", "final", items=3, item_ids=["i0", "late", "i1"])
    found = logged_features(final, [observed, corrected])
    assert found is not None
    assert found.item == {"clicks_1h": [9.0, 7.0, 9.0], "price": [3.0, 8.0, 4.0]}
    assert found.item_category == ["a", "c", "b"]
    assert logged_features(final, [observed]) is None
    assert logged_features(final, [corrected]) is None
