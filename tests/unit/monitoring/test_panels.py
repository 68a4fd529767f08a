"""The panels, on the small story that the browser tests use too."""

from pathlib import Path

import msgspec
import pytest
from fastapi import HTTPException

from monitoring.app import read_command
from monitoring.board import Board
from monitoring.config import MonitoringConfig
from springtide.contracts.control import Drift
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import build_sections, read_profile
from tests.builders.page_story import HOUR_MS, START_MS, Story


@pytest.fixture(scope="module")
def story() -> Story:
    labels = build_sections(read_profile(Path("config/base.toml")), {"labels": LabelsConfig})["labels"]
    told = Story(Board(MonitoringConfig(), labels))
    told.advance(hours=48)
    return told


def test_served_scores_that_are_the_truth_are_calibrated_and_equal_the_oracle(story: Story) -> None:
    tasks = story.board.message(0)[1]["panels"]["quality"]["tasks"]
    for task in ("click", "cart", "purchase"):
        matured = tasks[task]["matured"]
        assert 0.8 < matured["calibration"] < 1.25
        assert matured == tasks[task]["oracle"]
        assert tasks[task]["true_calibration"] == pytest.approx(1.0)


def test_arms_without_a_difference_are_not_called_and_the_split_is_healthy(story: Story) -> None:
    tables = {table["experiment"]: table for table in story.board.message(0)[1]["panels"]["experiments"]}
    assert set(tables) == {"demo", "a-a"}
    for table in tables.values():
        assert not any(row["called"] for row in table["metrics"])
        assert table["status"] == "collecting"
        assert not table["mismatch_ms"]


def test_the_waterfall_adds_up_to_the_age_of_the_served_model(story: Story) -> None:
    stages = story.board.message(0)[1]["panels"]["models"]["waterfall"]
    assert sum(stage["step_s"] for stage in stages) == pytest.approx(max(stage["age_s"] for stage in stages))


def test_the_ledger_of_the_story_balances(story: Story) -> None:
    join = story.board.message(0)[1]["panels"]["join"]
    assert set(join["labels_residual"].values()) == {0.0}
    assert join["slates_residual"] == 0.0


def test_repeated_rows_change_nothing(story: Story) -> None:
    before = msgspec.json.encode(story.board.message(0)[1]["panels"]["quality"])
    again = Story(story.board)
    again.hour = 1
    rows, _ = again._slates(START_MS + HOUR_MS, 30)
    assert len(rows) == 60
    story.board.add_rows(rows)
    story.board.sample(0)
    assert msgspec.json.encode(story.board.message(0)[1]["panels"]["quality"]) == before


def test_a_command_is_completed_and_a_broken_one_names_its_field() -> None:
    command = read_command(b'{"type": "drift", "task": "cart", "factor": 2}', "c1")
    assert isinstance(command, Drift)
    assert (command.command_id, command.factor) == ("c1", 2.0)
    with pytest.raises(HTTPException, match="task"):
        read_command(b'{"type": "drift", "task": "sale", "factor": 2}', "c1")
