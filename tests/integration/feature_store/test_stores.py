"""Rows in, features out: online, offline and pandas must tell the same, whatever the order of arrival."""

import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from feature_store.config import FeatureStoreConfig
from feature_store.writer import FeatureWriter
from springtide.contracts.errors import StateError
from springtide.contracts.features import COUNTS, USER_FEATURES, Entity, FeatureRow
from springtide.contracts.topics import DAY_MS
from springtide.feature_join.online import OnlineFeatures
from springtide.feature_join.point_in_time import PointInTimeFeatures

T = 20_000 * DAY_MS


def make_row(entity: Entity, entity_id: str, time_ms: int, value: float) -> FeatureRow:
    names = USER_FEATURES if entity == "user" else COUNTS
    lists: dict[str, Any] = {
        "top_categories": ["c1", "ć2"],
        "top_category_shares": [0.75, 0.25],
        "recent_items": [f"i{value:.0f}"],
        "recent_behaviours": ["cart"],
    }
    more = lists if entity == "user" else {}
    return FeatureRow(
        entity=entity, entity_id=entity_id, event_time_ms=time_ms, values=dict.fromkeys(names, value), **more
    )


def entities(*moments: int, user: str = "u1", item: str = "i1") -> pd.DataFrame:
    return pd.DataFrame(
        {"row_id": [f"r{n}" for n in range(len(moments))], "user_id": user, "item_id": item, "event_time_ms": moments}
    )


def test_what_is_written_is_read(config: FeatureStoreConfig, folder: Path) -> None:
    FeatureWriter(folder, config).write([make_row("user", "u1", T + 123, 1.25), make_row("item", "i1", T + 7, 3.0)])
    reader = OnlineFeatures(folder)
    user = reader.user("u1", at_ms=T + 200)
    assert user.feature_time_ms == T + 123
    assert user.values == dict.fromkeys(USER_FEATURES, 1.25)
    assert user.top_categories == ["c1", "ć2"]
    assert user.top_category_shares == [0.75, 0.25]
    assert (user.recent_items, user.recent_behaviours) == (["i1"], ["cart"])
    items = reader.items(["i0", "i1"])
    assert items.feature_time_ms.tolist() == [0, T + 7]
    assert items.counts.tolist() == [[0.0] * len(COUNTS), [3.0] * len(COUNTS)]
    [joined] = PointInTimeFeatures(folder).join(entities(T + 200)).to_dict("records")
    assert {name: joined[f"user_features__{name}"] for name in USER_FEATURES} == user.values
    assert joined["user_features__feature_time_ms"] == T + 123
    assert joined["user_features__recent_items"] == ["i1"]
    assert joined["user_features__recent_behaviours"] == ["cart"]
    assert joined["item_features__clicks_7d"] == 3.0


def test_a_late_row_changes_history_and_not_the_present(config: FeatureStoreConfig, folder: Path) -> None:
    writer = FeatureWriter(folder, config)
    writer.write([make_row("user", "u1", T + 2_000, 2.0)])
    writer.write([make_row("user", "u1", T + 3_000, 3.0), make_row("user", "u1", T + 1_000, 1.0)])
    writer.close()
    FeatureWriter(folder, config).write([make_row("user", "u1", T + 2_500, 2.5)])  # after a restart as well
    assert OnlineFeatures(folder).user("u1", at_ms=T + 9_000).values["clicks_1d"] == 3.0
    joined = PointInTimeFeatures(folder).join(entities(T + 1_001, T + 2_501, T + 9_000, T + 1_000))
    got = joined["user_features__clicks_1d"].tolist()
    assert got[:3] == [1.0, 2.5, 3.0]
    assert math.isnan(got[3]), "a row of the same instant must not be seen"


def test_of_two_rows_of_one_instant_both_stores_keep_the_later(config: FeatureStoreConfig, folder: Path) -> None:
    writer = FeatureWriter(folder, config)
    writer.write([make_row("user", "u1", T, 1.0)])
    writer.write([make_row("user", "u1", T, 2.0)])
    assert OnlineFeatures(folder).user("u1", at_ms=T + 1).values["clicks_1d"] == 2.0
    assert PointInTimeFeatures(folder).join(entities(T + 1))["user_features__clicks_1d"].tolist() == [2.0]


def test_a_row_past_its_age_counts_as_none_everywhere(config: FeatureStoreConfig, folder: Path) -> None:
    FeatureWriter(folder, config).write([make_row("user", "u1", T, 1.0), make_row("item", "i1", T, 1.0)])
    reader, edge = OnlineFeatures(folder), T + 8 * DAY_MS
    assert reader.user("u1", at_ms=edge).values
    assert not reader.user("u1", at_ms=edge + 1).values
    assert reader.items(["i1"]).known(edge).tolist() == [True]
    assert reader.items(["i1"]).known(edge + 1).tolist() == [False]
    joined = PointInTimeFeatures(folder).join(entities(edge, edge + 1))
    assert joined["user_features__clicks_1d"].isna().tolist() == [False, True]


@pytest.mark.parametrize("seed", [1, 2])
def test_online_and_offline_equal_pandas_on_random_rows(config: FeatureStoreConfig, folder: Path, seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    rows = [
        make_row(dice.choice(("user", "item")), str(dice.randrange(12)), T + dice.randrange(10 * DAY_MS), float(n))
        for n in range(600)
    ]
    writer, written = FeatureWriter(folder, config), 0
    while written < len(rows):
        size = dice.randrange(1, 90)
        writer.write(rows[written : written + size])
        written += size
    moments = [T + dice.randrange(11 * DAY_MS) for _ in range(500)]
    wanted = pd.DataFrame(
        {
            "row_id": range(500),
            "user_id": [str(dice.randrange(14)) for _ in moments],
            "item_id": [str(dice.randrange(14)) for _ in moments],
            "event_time_ms": moments,
        }
    )
    joined = PointInTimeFeatures(folder).join(wanted)
    assert joined["row_id"].tolist() == list(range(500))
    for entity in ("user", "item"):
        expected = merge_with_pandas(wanted, rows, entity)
        got = joined[f"{entity}_features__clicks_1d"].to_numpy()
        np.testing.assert_array_equal(got, expected)
        assert np.isnan(got).any()
    reader = OnlineFeatures(folder)
    end = T + 10 * DAY_MS
    last = PointInTimeFeatures(folder).join(
        pd.DataFrame({"row_id": range(14), "user_id": map(str, range(14)), "item_id": "0", "event_time_ms": end})
    )
    online = [reader.user(str(number), at_ms=end).values.get("clicks_1d", math.nan) for number in range(14)]
    np.testing.assert_array_equal(online, last["user_features__clicks_1d"].to_numpy())


def merge_with_pandas(wanted: pd.DataFrame, rows: list[FeatureRow], entity: str) -> NDArray[np.float64]:
    features = pd.DataFrame(
        [(row.entity_id, row.event_time_ms, row.values["clicks_1d"]) for row in rows if row.entity == entity],
        columns=[f"{entity}_id", "event_time_ms", "value"],
    )
    merged = pd.merge_asof(
        wanted.sort_values("event_time_ms"),
        features.sort_values("event_time_ms", kind="stable"),
        on="event_time_ms",
        by=f"{entity}_id",
        allow_exact_matches=False,
        tolerance=8 * DAY_MS,
    )
    return np.asarray(merged.sort_values("row_id")["value"], dtype=np.float64)


def test_a_folder_has_one_writer(folder: Path) -> None:
    first = FeatureWriter(folder, FeatureStoreConfig())
    with pytest.raises(StateError, match="expected to be its only writer"):
        FeatureWriter(folder, FeatureStoreConfig())
    first.close()
    FeatureWriter(folder, FeatureStoreConfig()).close()


def test_readers_of_another_process_never_find_the_database_locked(folder: Path) -> None:
    writer = FeatureWriter(folder, FeatureStoreConfig())
    everything = [make_row("item", str(number), T, 1.0) for number in range(300)]
    writer.write(everything)
    script = (
        "import sys; from pathlib import Path; from springtide.feature_join.online import OnlineFeatures\n"
        f"reader = OnlineFeatures(Path({str(folder)!r})); print('reading', flush=True)\n"
        "for _ in range(25):\n"
        "    times = set(reader.items([str(n) for n in range(300)]).feature_time_ms.tolist())\n"
        "    assert len(times) == 1, times\n"  # a batch is seen whole or not at all
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n", reader.communicate()[1].decode()
        batches = 0
        while reader.poll() is None:
            batches += 1
            writer.write([make_row("item", row.entity_id, T + batches, float(batches)) for row in everything])
        errors = reader.communicate()[1].decode()
    assert reader.returncode == 0, errors
    assert batches > 3
