"""Versions, the guard, what survives, what is removed."""

from dataclasses import replace
from datetime import timedelta
from math import nan
from pathlib import Path

import numpy as np
import pytest

from springtide.contracts.bundle import Kind
from springtide.model.config import ModelConfig
from springtide.quality.task_quality import QualityReport, TaskQuality
from springtide.runtime.config import LabelsConfig
from trainer.config import TrainerConfig
from trainer.guard import harm, refusal
from trainer.held_scores import Judged
from trainer.messages import CallReport
from trainer.progress import ChainProgress, Progress
from trainer.publisher import newest_base_number, next_manifest, prune, withdraw

HOUR = 3_600_000
LABELS = LabelsConfig(
    observation={"click": timedelta(minutes=10), "cart": timedelta(hours=1), "purchase": timedelta(hours=1)},
    attribution={"click": timedelta(minutes=30), "cart": timedelta(hours=6), "purchase": timedelta(days=1)},
    allowed_lateness=timedelta(minutes=5),
)


def report(scores: float, rate: float, rows: int = 10_000) -> QualityReport:
    quality = TaskQuality()
    labels = np.zeros(rows)
    labels[: round(rate * rows)] = 1.0
    quality.update(np.full(rows, scores), labels)
    return quality.report()


@pytest.mark.parametrize(
    ("scores", "arrived", "refused"),
    [(0.1, 1.0, False), (0.9, 1.0, True), (0.02, 1.0, True), (0.35, 1.0, True), (0.35, 0.5, False)],
)
def test_the_guard_refuses_what_is_far_off(scores: float, arrived: float, refused: bool) -> None:
    config = TrainerConfig(guard_entropy=10.0)
    assert bool(refusal({"click": report(scores, 0.1)}, {"click": arrived}, config)) is refused


def test_the_guard_refuses_useless_scores() -> None:
    assert "entropy" in refusal({"click": report(0.29, 0.1)}, {"click": 1.0}, TrainerConfig(guard_entropy=1.1))


def test_the_guard_says_nothing_about_few_labels() -> None:
    few = report(0.9, 0.1, rows=1_000)
    assert refusal({"click": few}, {"click": 1.0}, TrainerConfig(guard_labels=200)) == ""


def test_scores_that_are_no_probabilities_are_only_asked_to_be_finite() -> None:
    far, config = report(0.9, 0.1), TrainerConfig()
    assert refusal({"cart": far}, {"cart": 1.0}, config)
    assert refusal({"cart": far}, {"cart": 1.0}, config, probabilities=False) == ""
    broken = replace(far, calibration=float("nan"))
    assert "finite" in refusal({"cart": broken}, {"cart": 1.0}, config, probabilities=False)


@pytest.mark.parametrize(
    ("scores", "rivals", "harmful"),
    [(0.1, 0.1, ""), (0.05, 0.1, ""), (0.3, 0.1, "entropy"), (0.1, 0.3, ""), (0.9, 0.9, ""), (0.3, 0.9, "")],
)
def test_harm_is_what_is_worse_than_a_rival_that_is_itself_within_bounds(
    scores: float, rivals: float, harmful: str
) -> None:
    text = harm({"click": report(scores, 0.1)}, {"click": report(rivals, 0.1)}, "minute-3.0", TrainerConfig())
    assert bool(text) is bool(harmful)
    assert harmful in text
    assert ("where minute-3.0 has" in text) is bool(harmful)


def test_harm_needs_labels_and_minds_calibration() -> None:
    few, good = report(0.9, 0.1, rows=1_000), report(0.1, 0.1)
    assert harm({"click": few}, {"click": report(0.1, 0.1, rows=1_000)}, "m", TrainerConfig()) == ""
    off = replace(good, calibration=3.1)
    assert "calibration" in harm({"click": off}, {"click": good}, "m", TrainerConfig())
    broken = replace(good, normalized_entropy=nan)
    assert "entropy" in harm({"click": broken}, {"click": good}, "m", TrainerConfig())


def test_versions_follow_their_parents() -> None:
    progress = ChainProgress(newest_ms=5)

    def publish(kind: Kind) -> tuple[str, str, str, int]:
        manifest = next_manifest(
            "minute", kind, progress, preset="p", model=ModelConfig(), offsets={1: 4}, watermark_ms=0, metrics={}
        )
        progress.base_number += kind == "base"
        progress.sequence, progress.version = manifest.sequence, manifest.version
        progress.base_version = manifest.base_version
        return manifest.version, manifest.base_version, manifest.parent_version, manifest.sequence

    assert publish("base") == ("minute-1.0", "minute-1.0", "", 0)
    assert publish("delta") == ("minute-1.1", "minute-1.0", "minute-1.0", 1)
    assert publish("delta") == ("minute-1.2", "minute-1.0", "minute-1.1", 2)
    assert publish("base") == ("minute-2.0", "minute-2.0", "", 0)


def test_old_bases_go_with_their_deltas(tmp_path: Path) -> None:
    for version in ("minute-1.0", "minute-1.1", "minute-2.0", "minute-10.0", "minute-10.1"):
        (tmp_path / "minute" / version).mkdir(parents=True)
    assert prune(tmp_path, "minute", 2) == ["minute-1.0", "minute-1.1"]
    assert newest_base_number(tmp_path, "minute") == 10
    assert newest_base_number(tmp_path, "daily") == 0


def test_the_proven_version_stays_and_what_was_taken_back_goes(tmp_path: Path) -> None:
    for version in ("minute-1.0", "minute-1.1", "minute-2.0", "minute-3.0", "minute-3.1", "minute-10.0"):
        (tmp_path / "minute" / version).mkdir(parents=True)
    assert prune(tmp_path, "minute", 2, proven="minute-1.1") == ["minute-2.0"]
    assert withdraw(tmp_path, "minute", "minute-9.9") == []
    assert withdraw(tmp_path, "minute", "minute-3.0") == ["minute-10.0", "minute-3.1"]
    assert sorted(path.name for path in (tmp_path / "minute").iterdir()) == ["minute-1.0", "minute-1.1", "minute-3.0"]


def test_progress_comes_back_as_it_was() -> None:
    chains = ("daily", "minute")
    progress = Progress.new(chains, LABELS, timedelta(days=1))
    progress.take(
        CallReport(
            offsets={0: 7},
            newest_final_ms={0: 9},
            final_days={3},
            delays_ms={"purchase": [10 * 60_000] * 60 + [20 * HOUR] * 40},
        )
    )
    times = np.full(4, HOUR)
    progress.judge("minute", [Judged(
        task="click", maturity="matured", probabilities_N=np.full(4, 0.25, np.float32),
        labels_N=np.array([1, 0, 0, 0], np.float32), times_ms_N=times, weights_N=np.ones(4, np.float32),
    )])  # fmt: skip
    progress.chain("minute").started_ms = 3
    again = Progress.new(chains, LABELS, timedelta(days=1))
    again.load(progress.to_dict())
    assert again.to_dict() == progress.to_dict()
    assert again.arrived(HOUR)[0] == pytest.approx([1.0, nan, 0.6], abs=0.02, nan_ok=True)
    assert again.quality("minute", "click", "matured").report().calibration == pytest.approx(1.0)


def test_reports_of_all_ranks_lie_together() -> None:
    one = CallReport(rows={"observed": 3}, steps=1, newest_ms=5, oldest_ms=0, exhausted=True, offsets={0: 1})
    one.add(CallReport(rows={"observed": 2, "final": 1}, steps=2, newest_ms=4, oldest_ms=2, offsets={1: 6}))
    assert (one.rows, one.steps, one.newest_ms, one.oldest_ms) == ({"observed": 5, "final": 1}, 2, 5, 2)
    assert (one.exhausted, one.offsets) == (False, {0: 1, 1: 6})
