"""Which days a backfill learns, the order of a day's lesson, and what a rebuild refuses to go on with."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from springtide.contracts.errors import ConfigError, ExitCode, StackError
from springtide.model.config import ModelConfig
from springtide.runtime.command_line import Runtime
from springtide.runtime.config import KafkaConfig, ProcessConfig
from springtide.runtime.health import Health
from springtide.runtime.shutdown import Shutdown
from tests.oracles.streams import LABELS
from trainer.archive import Archive
from trainer.backfill import Backfill, _alone
from trainer.backfill_config import BackfillConfig, chosen_days
from trainer.config import TrainerConfig
from trainer.day_lesson import day_lesson
from trainer.days import day_number, day_text
from trainer.messages import CallReport

FIRST = day_number("2026-01-05")
ARCHIVED = [FIRST, FIRST + 1, FIRST + 3]


def test_a_day_and_its_number_are_each_others_inverse() -> None:
    assert day_text(FIRST) == "2026-01-05"
    assert [day_number(day_text(day)) for day in (0, 59, FIRST)] == [0, 59, FIRST]


@pytest.mark.parametrize(
    ("first", "last", "gaps", "days"),
    [
        ("", "", True, ARCHIVED),
        ("", "2026-01-06", False, ARCHIVED[:2]),
        ("2026-01-06", "2026-01-06", False, ARCHIVED[1:2]),
        ("2026-01-06", "", True, ARCHIVED[1:]),
    ],
)
def test_the_days_wanted_are_learned_in_order(first: str, last: str, gaps: bool, days: list[int]) -> None:
    assert chosen_days(BackfillConfig(first_day=first, last_day=last, allow_gaps=gaps), ARCHIVED, "a") == days


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("", "", "got none of 2026-01-07; it holds 3 days of 2026-01-05 to 2026-01-08"),
        ("2026-01-01", "2026-01-05", "got none of 2026-01-01, 2026-01-02, 2026-01-03 and 1 more"),
        ("2026-02-01", "2026-02-01", "got none of 2026-02-01"),
    ],
)
def test_a_day_that_is_not_archived_is_named(first: str, last: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        chosen_days(BackfillConfig(first_day=first, last_day=last), ARCHIVED, "a")


def test_gaps_are_allowed_but_not_nothing() -> None:
    with pytest.raises(ConfigError, match="expected archived days, got none"):
        chosen_days(BackfillConfig(allow_gaps=True), [], "a")
    with pytest.raises(ConfigError, match="expected every day"):
        chosen_days(BackfillConfig(first_day="2026-02-01", last_day="2026-02-01", allow_gaps=True), ARCHIVED, "a")


def test_days_that_are_none_or_the_wrong_way_round_are_refused() -> None:
    (problem,) = BackfillConfig(first_day="monday").problems()
    assert problem.startswith("backfill.first_day: expected a day such as 2026-01-05, got 'monday'")
    (problem,) = BackfillConfig(first_day="2026-01-06", last_day="2026-01-05").problems()
    assert "expected 2026-01-06 or later" in problem


def test_a_day_is_scored_as_a_whole_before_any_of_it_is_learned() -> None:
    done: list[Any] = []

    class Ranks:
        def call(self, method: str, *arguments: Any) -> list[Any]:
            done.append((method, *arguments))
            return []

    def step(mode: str) -> CallReport:
        done.append(mode)
        return CallReport(steps=len(done))

    reports = list(day_lesson(Ranks(), 2, step))
    assert done == [
        ("order_day", None), "score", ("order_day", 0), "learn", ("order_day", 1), "learn", ("close_day",)
    ]  # fmt: skip
    assert [report.steps for report in reports] == [2, 4, 6]


def backfill(state: Path, **trainer: Any) -> Backfill:
    sections = {
        "trainer": TrainerConfig(daily_features="logged", **trainer), "model": ModelConfig(), "labels": LABELS,
        "backfill": BackfillConfig(),
    }  # fmt: skip
    runtime = Runtime(
        process=ProcessConfig(state_folder=state), kafka=KafkaConfig(), sections=sections, health=Health("trainer"),
        reporter=None, shutdown=Shutdown(),  # type: ignore[arg-type]
    )  # fmt: skip
    return Backfill(runtime)


def test_a_rebuild_goes_on_only_by_the_settings_it_was_begun_with(tmp_path: Path) -> None:
    begun = backfill(tmp_path)
    driver, model = {"backfill": begun._decisive(FIRST)}, begun._model.to_dict()
    stored = msgspec.json.decode(msgspec.json.encode(model))
    begun._check_begun(driver, stored, FIRST)
    with pytest.raises(ConfigError, match="expected seed 7, by which it was begun, got 8"):
        backfill(tmp_path, seed=8)._check_begun(driver, stored, FIRST)
    with pytest.raises(ConfigError, match="expected first_day '2026-01-05', by which it was begun, got '2026-01-06'"):
        begun._check_begun(driver, stored, FIRST + 1)
    with pytest.raises(ConfigError, match=r"expected the settings \[model\]"):
        begun._check_begun(driver, {**stored, "seed": 1}, FIRST)


def test_rows_that_were_archived_with_other_features_are_refused(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path / "archive"))
    archive.close_day(FIRST, "feast", [archive.write_part(FIRST, 0, [])])
    with pytest.raises(ConfigError, match="expected 'feast', which the rows of 2026-01-05 were archived with"):
        backfill(tmp_path).run()


def test_two_rebuilds_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        _alone(tmp_path),
        pytest.raises(StackError, match="expected no other rebuild in it") as caught,
        _alone(tmp_path),
    ):
        pass
    assert caught.value.exit_code == ExitCode.ALREADY_RUNNING
    with _alone(tmp_path):
        pass
