import numpy as np
import pandas as pd
import pytest

from springtide.contracts.errors import ShapeError
from springtide.feature_join.as_of import latest_before


def test_only_strictly_older_rows_count() -> None:
    assert latest_before(["u"] * 3, [10, 11, 9], ["u"], [10], 100).tolist() == [-1, 0, -1]


def test_rows_past_their_age_count_as_none() -> None:
    assert latest_before(["u", "u"], [110, 111], ["u"], [10], 100).tolist() == [0, -1]


def test_of_one_instant_the_later_arrival_counts() -> None:
    assert latest_before(["u"], [11], ["u", "u", "u"], [10, 10, 9], 100).tolist() == [1]


def test_entities_do_not_see_each_other() -> None:
    assert latest_before(["a", "b", "c"], [50] * 3, ["c", "a"], [10, 20], 100).tolist() == [1, -1, 0]


def test_nothing_joined_with_nothing() -> None:
    assert latest_before([], [], ["u"], [1], 1).tolist() == []
    assert latest_before(["u"], [1], [], [], 1).tolist() == [-1]


def test_lengths_must_agree() -> None:
    with pytest.raises(ShapeError, match="expected an event time per entity"):
        latest_before(["u"], [1, 2], [], [], 1)


@pytest.mark.parametrize("seed", range(5))
def test_equals_merge_asof_of_pandas_on_random_rows(seed: int) -> None:
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    rows = pd.DataFrame({"key": random.integers(0, 20, 400).astype(str), "time": random.integers(0, 300, 400)})
    features = pd.DataFrame({"key": random.integers(0, 25, 300).astype(str), "time": random.integers(-50, 300, 300)})
    features["index"] = range(len(features))
    rows["order"] = range(len(rows))
    expected = pd.merge_asof(
        rows.sort_values("time"),
        features.sort_values("time", kind="stable"),
        on="time",
        by="key",
        allow_exact_matches=False,
        tolerance=40,
    ).sort_values("order")["index"]
    got = latest_before(rows["key"], rows["time"], features["key"], features["time"], 40)
    assert got.tolist() == expected.fillna(-1).astype(int).tolist()
    assert (got >= 0).any()
    assert (got < 0).any()
