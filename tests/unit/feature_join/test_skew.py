import math

import pandas as pd
import pytest

from springtide.contracts.errors import ShapeError
from springtide.contracts.events import SlateFeatures
from springtide.feature_join.skew import logged_rows, skew_report


def slate(clicks: list[float], user: dict[str, float] | None = None, recent: list[str] | None = None) -> SlateFeatures:
    return SlateFeatures(
        version=1,
        feature_time_ms=7,
        user=user or {},
        recent_items=recent or [],
        item={"clicks_1d": clicks, "price": [1.0] * len(clicks)},
        item_category=["c"] * len(clicks),
    )


def test_logged_features_become_a_row_per_item() -> None:
    rows = logged_rows([slate([1.0, 2.0], {"carts_1h": 3.0}, ["i1"]), slate([4.0])])
    assert rows["item_features__clicks_1d"].tolist() == [1.0, 2.0, 4.0]
    assert rows["user_features__carts_1h"].tolist()[:2] == [3.0, 3.0]
    assert math.isnan(rows["user_features__carts_1h"][2])
    assert rows["user_features__recent_items"].tolist() == [["i1"], ["i1"], []]
    assert "item_features__price" not in rows


def test_the_report_tells_shares_and_differences_per_feature() -> None:
    logged = logged_rows([slate([1.0, 2.0, math.nan, 4.0], recent=["i1"])])
    joined = logged.copy()
    joined["item_features__clicks_1d"] = [1.0, 5.0, math.nan, math.nan]
    joined["user_features__recent_items"] = pd.Series([["i1"], ["i2"], [], ["i1"]])
    report = skew_report(logged, joined)
    clicks = report["item_features__clicks_1d"]
    assert clicks["match_share"] == 0.5
    assert clicks["mean_abs_difference"] == 1.5
    assert clicks["logged_null_share"] == 0.25
    assert clicks["joined_null_share"] == 0.5
    recent = report["user_features__recent_items"]
    assert recent["match_share"] == 0.5
    assert recent["joined_null_share"] == 0.25
    assert report["user_features__feature_time_ms"]["match_share"] == 1.0


def test_frames_must_be_aligned() -> None:
    with pytest.raises(ShapeError, match="expected 2 joined rows"):
        skew_report(logged_rows([slate([1.0, 2.0])]), pd.DataFrame())
