"""Versions compared on slates with closed labels, as serving would score them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from benchmarks.serving_rig import RandomModels
from springtide.contracts.events import SlateFeatures
from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig
from springtide.model.dense_network import HEAD_BIASES
from springtide.model.lineage import read_version
from springtide.model.presets import preset
from springtide.model.state import ModelState
from trainer.closed_slates import ClosedSlate
from trainer.config import TrainerConfig
from trainer.guard import HarmfulUpdateError
from trainer.judge import Judge, Trial, closed_reports

CONFIG = TrainerConfig(guard_labels=20, guard_calibration=30.0, guard_entropy=10.0)
SIZES = ModelConfig(
    embedding_dim=4, experts=2, expert_units=(6,), tower_units=(4,),
    capacities={"user": 60, "item": 400, "category": 32, "device": 8, "country": 8, "position": 64},
)  # fmt: skip
FEATURES = SlateFeatures(version=1, feature_time_ms=1, item={})


@pytest.fixture
def models(tmp_path: Path) -> RandomModels:
    return RandomModels(tmp_path, config=preset(sizes=SIZES), items=300, users=50)


@pytest.fixture
def slates(sample: Callable[..., Any]) -> list[ClosedSlate]:
    """A slate in four with a label of every task on its first item."""
    found = []
    for number in range(200):
        labels: dict[str, list[int]] = {task: [int(number % 4 == 0), 0] for task in TASKS}
        found.append(ClosedSlate(sample=sample(f"r{number}", features=FEATURES, labels=labels), labels=labels))
    return found


def shifted(state: ModelState, by: float) -> ModelState:
    dense = {name: tensor + by * (name in HEAD_BIASES) for name, tensor in state.dense.items()}
    return ModelState(manifest=state.manifest, dense=dense, tables=state.tables, ids=state.ids)


def test_reports_are_of_the_closed_labels(models: RandomModels, slates: list[ClosedSlate]) -> None:
    state = read_version(models.root / "minute", models.publish("base").version)
    reports = closed_reports(state, slates)
    assert {task: (report.rows, report.positives) for task, report in reports.items()} == dict.fromkeys(
        TASKS, (400, 50)
    )
    one = ClosedSlate(sample=slates[0].sample, labels={"click": [0, 0]})
    assert closed_reports(state, [one])["click"].positives == 0.0
    assert closed_reports(state, [one])["purchase"].rows == 0
    assert closed_reports(state, [])["click"].rows == 0


def test_a_worse_candidate_is_not_admitted_and_an_equal_one_is(models: RandomModels, slates: list[ClosedSlate]) -> None:
    served, judge = models.publish("base").version, Judge(models.root, CONFIG)
    candidate = read_version(models.root / "minute", models.publish("delta").version)
    assert judge.open(Trial(chain="minute", served=served, proven=served), slates) == ""
    good = read_version(models.root / "minute", served)
    figures = judge.admit(good)
    assert figures["click/closed_ne"] == closed_reports(good, slates)["click"].normalized_entropy
    with pytest.raises(HarmfulUpdateError, match=f"where {served} has"):
        judge.admit(shifted(candidate, 3.0))
    judge.open(Trial(chain="minute", served="", proven=""), slates)
    assert judge.admit(shifted(candidate, 3.0)) == {}
    judge.open(Trial(chain="minute", served="minute-9.9", proven="minute-9.9"), slates)
    assert judge.admit(shifted(candidate, 3.0)) == {}


def test_a_served_version_that_turns_out_worse_than_the_proven_must_go(
    models: RandomModels, slates: list[ClosedSlate]
) -> None:
    proven = models.publish("base").version
    with torch.no_grad():
        for name, parameter in models.network.named_parameters():
            if name in HEAD_BIASES:
                parameter.add_(3.0)
    served = models.publish("base").version
    trial, judge = Trial(chain="minute", served=served, proven=proven), Judge(models.root, CONFIG)
    assert judge.open(trial, []) == ""
    assert f"where {proven} has" in judge.open(trial, slates)
    assert judge.open(Trial(chain="minute", served=proven, proven=served), slates) == ""


def test_sampled_negatives_weigh_what_they_stand_for(models: RandomModels, slates: list[ClosedSlate]) -> None:
    state = read_version(models.root / "minute", models.publish("base").version)
    kept = [
        ClosedSlate(sample=msgspec.structs.replace(slate.sample, negative_keep=0.5), labels=slate.labels)
        for slate in slates
    ]
    whole, half = closed_reports(state, slates)["click"], closed_reports(state, kept)["click"]
    assert half.base_rate == pytest.approx(50 / (50 + 2 * 350))
    assert whole.base_rate == pytest.approx(50 / 400)
