"""What Prometheus reads of the page's quality figures."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitoring.board import Board
from monitoring.config import MonitoringConfig
from monitoring.exported import ExportedQuality
from monitoring.forgetting_panel import forgetting_snapshot
from monitoring.quality_panel import base_of
from monitoring.report_book import ReportBook
from springtide.contracts.metric_names import FORGETTING, FORGETTING_DAY, LABEL_COMPLETENESS, SERVED
from springtide.contracts.reports import ProcessReport
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import build_sections, read_profile
from tests.builders.page_story import Story


@pytest.fixture(scope="module")
def board() -> Board:
    labels = build_sections(read_profile(Path("config/base.toml")), {"labels": LabelsConfig})["labels"]
    told = Board(MonitoringConfig(), labels)
    Story(told).advance(hours=12)
    return told


def value(registry: CollectorRegistry, **labels: str) -> float | None:
    whole = {"task": "purchase", "segment": "", "model_version": "", "metric": "ne", **labels}
    return registry.get_sample_value(SERVED, whole)


def test_each_state_is_told_under_its_own_label_for_all_rows_and_per_part(board: Board) -> None:
    registry = CollectorRegistry()
    registry.register(ExportedQuality(board.quality))
    shown = board.message(0)[1]["panels"]["quality"]["tasks"]["purchase"]
    for state in ("matured", "corrected", "estimated"):
        assert value(registry, state=state) == pytest.approx(shown[state]["ne"])
        assert value(registry, state=state, model_version="minute-1") == pytest.approx(shown[state]["ne"])
        for device in ("phone", "desktop"):
            assert value(registry, state=state, segment=device) is not None
    assert value(registry, state="naive") is None
    assert value(registry, state="estimated", metric="calibration") is None
    assert registry.get_sample_value(LABEL_COMPLETENESS, {"task": "purchase"}) == 1.0


def test_before_the_first_sample_there_is_nothing_to_tell() -> None:
    registry = CollectorRegistry()
    registry.register(ExportedQuality(dict[str, Any]))
    assert SERVED not in [line.split("{")[0] for line in generate_latest(registry).decode().splitlines()]


def test_deltas_count_as_their_base() -> None:
    assert [base_of(version) for version in ("minute-3.12", "minute-3.0", "other", "")] == [
        "minute-3", "minute-3", "other", ""
    ]  # fmt: skip


def test_the_page_shows_the_three_states_apart_with_intervals(board: Board) -> None:
    shown = board.message(0)[1]["panels"]["quality"]["tasks"]["purchase"]
    assert shown["estimated"]["calibration"] is None
    for figure in ("ne", "auc", "base_rate", "log_loss"):
        low, high = shown["estimated"][f"{figure}_interval"]
        assert low < shown["estimated"][figure] < high
    low, high = shown["corrected"]["calibration_interval"]
    assert low < shown["corrected"]["calibration"] < high
    assert {(part["kind"], part["state"]) for part in shown["parts"]} == {
        (kind, state) for kind in ("segment", "version") for state in ("matured", "corrected", "estimated")
    }
    assert (
        sum(part["rows"] for part in shown["parts"] if part["kind"] == "segment" and part["state"] == "matured")
        == (shown["matured"]["rows"])
    )


def test_what_the_trainer_says_of_an_old_day_is_shown() -> None:
    book = ReportBook()
    assert forgetting_snapshot(book) is None
    samples = {FORGETTING_DAY: 86_400.0} | {
        f'{FORGETTING}{{task="click",moment="{moment}",metric="ne"}}': value
        for moment, value in (("then", 0.8), ("now", 0.9))
    }
    report = ProcessReport(
        process="trainer", instance="trainer", sequence=1, wall_time_ms=0, ready=True, status="", samples=samples
    )  # fmt: skip
    book.add(report)
    assert forgetting_snapshot(book) == {"day_ms": 86_400_000, "tasks": {"click": {"then": 0.8, "now": 0.9}}}
