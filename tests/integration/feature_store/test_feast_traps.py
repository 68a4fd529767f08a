"""What Feast 0.67 does that we go round.

When one of these fails, Feast has mended it: see docs/decisions/feast-joins.md.
"""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from feast import FeatureStore

from feature_store.config import FeatureStoreConfig
from feature_store.online import OnlineWriter
from feature_store.writer import FeatureWriter
from springtide.contracts.features import FeatureRow
from springtide.contracts.topics import DAY_MS
from springtide.feature_join.online import OnlineFeatures
from springtide.feature_join.point_in_time import PointInTimeFeatures

T = 20_000 * DAY_MS
pytestmark = pytest.mark.filterwarnings("ignore")


def user(time_ms: int, clicks: float = 1.0) -> FeatureRow:
    return FeatureRow(entity="user", entity_id="u1", event_time_ms=time_ms, values={"clicks_1d": clicks})


def slate(time_ms: int) -> pd.DataFrame:
    """Five impressions of one user at one moment, as every slate has them."""
    return pd.DataFrame(
        {
            "row_id": [f"r{n}" for n in range(5)],
            "user_id": "u1",
            "item_id": [f"i{n}" for n in range(5)],
            "event_time_ms": time_ms,
        }
    )


def feast_join(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    moments = pd.to_datetime(rows["event_time_ms"], unit="ms", utc=True)
    job = FeatureStore(repo_path=str(folder)).get_historical_features(
        entity_df=rows.assign(event_timestamp=moments), features=["user_features:numbers"]
    )
    joined: pd.DataFrame = job.to_df()
    return joined


def test_feast_joins_five_impressions_into_one_and_we_into_five(folder: Path) -> None:
    FeatureWriter(folder, FeatureStoreConfig()).write([user(T)])
    rows = slate(T + 1)
    assert len(feast_join(folder, rows)) == 1
    joined = PointInTimeFeatures(folder).join(rows)
    assert joined["row_id"].tolist() == rows["row_id"].tolist()
    assert joined["user_features__clicks_1d"].tolist() == [1.0] * 5


@pytest.mark.parametrize("feature_time_ms", [T - 9 * DAY_MS, T + DAY_MS], ids=["past its age", "still to come"])
def test_feast_drops_a_row_without_a_value_in_time_and_we_keep_it(folder: Path, feature_time_ms: int) -> None:
    FeatureWriter(folder, FeatureStoreConfig()).write([user(feature_time_ms)])
    rows = slate(T).head(1)
    assert len(feast_join(folder, rows)) == 0
    joined = PointInTimeFeatures(folder).join(rows)
    assert joined["user_features__clicks_1d"].isna().tolist() == [True]


def test_feast_sees_a_value_of_the_same_instant_and_we_do_not(folder: Path) -> None:
    FeatureWriter(folder, FeatureStoreConfig()).write([user(T)])
    rows = slate(T).head(1)
    assert feast_join(folder, rows)["numbers"].notna().all()
    assert PointInTimeFeatures(folder).join(rows)["user_features__clicks_1d"].isna().all()


def test_feast_serves_a_value_past_its_ttl_and_we_do_not(folder: Path) -> None:
    FeatureWriter(folder, FeatureStoreConfig()).write([user(T)])
    assert datetime.fromtimestamp(T / 1000, UTC).year < 2025, "far past its ttl by any clock"
    served = FeatureStore(repo_path=str(folder)).get_online_features(["user_features:numbers"], [{"user_id": "u1"}])
    assert served.to_dict()["numbers"] != [None]
    assert not OnlineFeatures(folder).user("u1", at_ms=T + 9 * DAY_MS).values


def test_feast_lets_an_older_row_overwrite_a_newer_one_and_our_guard_does_not(folder: Path) -> None:
    writer = FeatureWriter(folder, FeatureStoreConfig())
    writer.write([user(T + 60_000, clicks=2.0)])
    writer.write([user(T, clicks=1.0)])
    assert OnlineFeatures(folder).user("u1", T + DAY_MS).values["clicks_1d"] == 2.0
    OnlineWriter(FeatureStore(repo_path=str(folder))).write([user(T, clicks=1.0)])
    assert OnlineFeatures(folder).user("u1", T + DAY_MS).values["clicks_1d"] == 1.0
