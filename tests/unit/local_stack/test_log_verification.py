"""A replayed log's own join and baselines, against rows counted by hand."""

import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from local_stack.verification.log_join import join_log, read_log
from local_stack.verification.progressive import baselines, known_by, progressive_bars, read_scores

ATTRIBUTION = {"click": timedelta(minutes=30), "cart": timedelta(hours=6), "purchase": timedelta(days=1)}
MAPPING = {
    "columns": {"time": "t", "user": "u", "item": "i", "behaviour": "b"},
    "behaviours": {"exposure": ["view"], "cart": ["cart"], "purchase": ["buy"]},
}
HOUR = 3_600


def write(path: Path, rows: list[tuple[int, str, str, str]]) -> Path:
    path.write_text("t,u,i,b\n" + "".join(f"{t},{u},{i},{b}\n" for t, u, i, b in rows))
    return path


def test_a_label_goes_to_its_users_last_exposure_within_the_window(tmp_path: Path) -> None:
    log = read_log(
        write(
            tmp_path / "log.csv",
            [
                (0, "u1", "7", "view"),
                (HOUR, "u1", "7", "view"),
                (HOUR, "u1", "7", "cart"),  # within the moment of the second view
                (7 * HOUR + 1, "u1", "7", "cart"),  # past the window of six hours
                (25 * HOUR, "u1", "7", "buy"),  # the last moment of a day's window
                (2 * HOUR, "u2", "7", "buy"),  # never shown to this user
                (3 * HOUR, "u1", "7", "wish"),  # a word without a meaning
            ],
        ),
        MAPPING,
    )
    rows = join_log(log, ATTRIBUTION)
    assert rows["request_id"].tolist() == ["log-0", "log-1"]
    assert rows["cart"].tolist() == [0, 1]
    assert rows["purchase"].tolist() == [0, 1]
    assert rows["purchase_ms"].tolist() == [-1, 25 * HOUR * 1000]
    assert not rows["click"].any()


def test_baselines_know_only_what_a_chain_could_have_learned() -> None:
    rows = pd.DataFrame(
        {"user_id": ["u1", "u1", "u2"], "item_id": ["a", "a", "a"], "time_ms": [0, 10, 20], "cart": [1, 0, 0]}
    )
    scores = baselines(rows, "cart", np.array([10, 15, 25]))
    assert scores["item popularity"].tolist() == [0, 0, 1], "a label of the same moment is not yet known"
    mean = 1 / 3
    assert scores["user rate"].tolist() == pytest.approx([mean, mean, mean])
    assert scores["item rate"].tolist() == pytest.approx([mean, mean, (1 + 10 * mean) / 12])


def test_the_daily_chain_knows_yesterday_and_the_minute_chain_what_was_observed() -> None:
    rows = pd.DataFrame({"time_ms": [5, 7], "cart_ms": [-1, 9 * HOUR * 1000]})
    assert known_by(rows, "daily", "cart", HOUR * 1000).tolist() == [86_400_000] * 2
    assert known_by(rows, "minute", "cart", HOUR * 1000).tolist() == [HOUR * 1000 + 5, 9 * HOUR * 1000]


def test_a_chain_that_says_nothing_does_not_beat_a_baseline() -> None:
    labels = np.array([0, 1] * 50)
    rows = pd.DataFrame(
        {
            "user_id": [f"u{label}" for label in labels],
            "item_id": "a",
            "time_ms": np.arange(100) * 10,
            "cart": labels,
        }
    )
    known_ms = rows["time_ms"].to_numpy() + 1
    bars = {
        bar.bar.split("over ")[1]: bar for bar in progressive_bars(rows.assign(cart_p=0.1), "daily", "cart", known_ms)
    }
    assert not bars["user rate"].holds
    assert bars["user rate"].value == 0.5
    assert bars["user rate"].limit > 0.9
    assert all(bar.holds for bar in progressive_bars(rows.assign(cart_p=labels * 0.5), "daily", "cart", known_ms))


def test_a_row_that_came_again_counts_once(tmp_path: Path) -> None:
    row = {"request_id": ["r"], "item_id": ["i"], "impression_time_ms": [0], "phase": ["observed"]}
    for number, probability in enumerate((0.1, 0.2)):
        frame = pd.DataFrame({**row, "click": [probability], "cart": [probability], "purchase": [probability]})
        frame.to_parquet(tmp_path / f"{number}.parquet")

        os.utime(tmp_path / f"{number}.parquet", (number, number))
    assert read_scores(tmp_path)["cart"].tolist() == [0.2]
    assert read_scores(tmp_path / "none").empty
