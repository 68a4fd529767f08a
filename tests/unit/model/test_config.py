"""The settings of a model survive the manifest, and broken ones are named."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from springtide.contracts.errors import ConfigError
from springtide.model.config import ModelConfig
from springtide.model.presets import names, preset


@pytest.mark.parametrize("name", names())
def test_every_preset_is_valid_and_survives_json(name: str) -> None:
    config = preset(name)
    assert not list(config.problems())
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_preset_keeps_the_given_sizes() -> None:
    assert preset("esmm", ModelConfig(embedding_dim=8)).embedding_dim == 8


def test_an_unknown_preset_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="mmoe-esm2"):
        preset("wide-and-deep")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"backbone": "transformer"}, "model.backbone"),
        ({"graph": "tree"}, "model.graph"),
        ({"embedding_dim": 0}, "model.embedding_dim"),
        ({"expert_units": ()}, "model.expert_units"),
        ({"own_experts": 0}, "model.own_experts"),
        ({"expert_layers": 0}, "model.expert_layers"),
        ({"active_experts": 5}, "model.active_experts"),
        ({"balance_weight": -0.1}, "model.balance_weight"),
        ({"sharing_weight": -0.1}, "model.sharing_weight"),
        ({"cascade": True}, "model.cascade"),
        ({"heads": ("click", "cart")}, "model.heads"),
        ({"gate_dropout": 1.0}, "model.gate_dropout"),
        ({"encoder": "gru"}, "model.encoder"),
        ({"sequence_units": 0}, "model.sequence_units"),
        ({"matching_weight": -1.0}, "model.matching_weight"),
        ({"correlation_weight": -1.0}, "model.correlation_weight"),
        ({"precision": "float16"}, "model.precision"),
        ({"dense_learning_rate": 0.0}, "model.dense_learning_rate"),
        ({"capacities": {"user": 10}}, "model.capacities"),
        ({"admission_counts": {"user": 0}}, "model.admission_counts.user"),
        ({"expiries": {"user": timedelta(0)}}, "model.expiries.user"),
        ({"task_weights": {"click": 1.0}}, "model.task_weights"),
    ],
)
def test_each_broken_rule_is_named(change: dict[str, Any], key: str) -> None:
    assert any(problem.startswith(f"{key}:") for problem in replace(ModelConfig(), **change).problems())


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.depth"):
        ModelConfig.from_dict({"depth": 3})
