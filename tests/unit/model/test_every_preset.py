"""What every preset must keep to; a new one is found by its name and tested here without a line of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from springtide.contracts.bundle import Manifest
from springtide.model.batch import Batch
from springtide.model.bundle import read_bundle, start_state, write_bundle
from springtide.model.config import ModelConfig
from springtide.model.dense_network import DenseNetwork
from springtide.model.golden import check_golden_scores, golden_inputs, golden_scores
from springtide.model.id_table import IdTable
from springtide.model.initial import initial_vectors
from springtide.model.loss import task_losses
from springtide.model.network import build_network
from springtide.model.presets import names, preset
from springtide.model.scorer import TableScorer
from springtide.model.state import dense_state, whole_table
from tests.unit.model.test_network import golden_batch, learn, tables_of

DEFAULT_SCORES = {
    "click": [0.15215898, 0.15756659, 0.16181844],
    "cart": [0.01708697, 0.02188374, 0.02044258],
    "purchase": [0.02045400, 0.01994012, 0.01565257],
}
"""Of the first golden rows, from release 0.1.0, whose bundles must go on loading."""

DEFAULT_SHAPES = {
    "backbone.experts.first.weight": (256, 216), "backbone.experts.first.bias": (256,),
    "backbone.experts.rest.0.weight_PIH": (4, 64, 32), "backbone.experts.rest.0.bias_PH": (4, 32),
    "backbone.gate.weight": (16, 216), "towers.0.weight_PIH": (4, 32, 32), "towers.0.bias_PH": (4, 32),
    "out.weight_PIH": (4, 32, 1), "out.bias_PH": (4, 1), "wide.weight": (4, 32), "position_tower.weight": (1, 16),
}  # fmt: skip


@pytest.fixture(params=names())
def config(request: pytest.FixtureRequest, sizes: ModelConfig) -> ModelConfig:
    """Every preset in small."""
    torch.manual_seed(0)  # of noise and dropout
    return preset(request.param, sizes)


def test_the_scorer_equals_the_network(config: ModelConfig) -> None:
    network = build_network(config).eval()
    batch = golden_batch(config)
    scores = TableScorer(config, dense_state(network), tables_of(network)).score_rows(*golden_inputs(config))
    expected = network(batch.dense_BF, batch.sparse).logp_BT.exp().detach().numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_row_scores_the_same_alone_and_in_any_order(config: ModelConfig) -> None:
    columns, rows = golden_inputs(config)
    network = build_network(config)
    scorer = TableScorer(config, dense_state(network), tables_of(network))
    scores = scorer.score_rows(columns, rows)
    order = np.random.default_rng(2).permutation(len(columns))
    for picked in (order, order[:1]):
        shuffled = replace(columns, dense_NF=columns.dense_NF[picked], slate_N=columns.slate_N[picked])
        moved = {
            name: part[picked] if name in ("item_id", "category", "position") else part for name, part in rows.items()
        }
        np.testing.assert_allclose(scorer.score_rows(shuffled, moved), scores[picked], atol=1e-6)


def test_masked_rows_give_no_gradient(config: ModelConfig) -> None:
    network = build_network(config)
    batch = golden_batch(config)
    batch.weights_BT[:8] = 0.0
    dense = batch.dense_BF.requires_grad_()
    learn(network, batch)
    assert dense.grad is not None
    assert (dense.grad[:8] == 0).all()
    assert (dense.grad[8:] != 0).any(dim=1).all()


def test_an_empty_batch_reaches_every_parameter_and_teaches_none(config: ModelConfig) -> None:
    """Of a rank with nothing to read: data parallelism waits for each gradient."""
    network = build_network(config)
    learn(network, Batch.empty(2, steps=config.reads_steps))
    apart = [name for name, p in network.named_parameters() if p.grad is None]
    assert not apart
    assert all((p.grad == 0).all() for p in network.parameters() if p.grad is not None)


def test_every_parameter_learns(config: ModelConfig) -> None:
    network = build_network(config)
    learn(network, golden_batch(config))
    still = [name for name, p in network.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert not still


def test_a_step_against_the_gradient_lowers_the_loss(config: ModelConfig) -> None:
    network = build_network(config)
    batch = golden_batch(config)

    def loss() -> torch.Tensor:
        torch.manual_seed(3)  # the same noise twice
        output = network(batch.dense_BF, batch.sparse)
        losses_T = task_losses(output, batch.labels_BT, batch.weights_BT)
        losses_T = losses_T + network.auxiliary_losses(batch.labels_BT, batch.weights_BT)
        return losses_T.sum() + network.dense.extra_loss()

    before = loss()
    torch.autograd.backward(before)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.01 * parameter.grad)
    assert loss() < before


def test_equal_settings_build_equal_networks_whatever_the_global_seed(config: ModelConfig) -> None:
    one = build_network(config).state_dict()
    torch.manual_seed(2)
    two = build_network(config).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_bundle_serves_the_scores_that_the_network_gave(config: ModelConfig, tmp_path: Path) -> None:
    network = build_network(config)
    dense, tables = dense_state(network), tables_of(network)
    manifest = Manifest(
        version="minute-0.0", chain="minute", kind="base", base_version="minute-0.0", sequence=0, preset="",
        model_config=config.to_dict(), feature_set_version=1, tables={}, offsets={}, newest_event_ms=1, watermark_ms=1,
        samples_learned=1, golden_scores=golden_scores(config, dense, tables),
    )  # fmt: skip
    ids = {
        name: IdTable(capacity=rows, admission_count=1, expiry_ms=50).id_map()
        for name, rows in config.capacities.items()
    }
    write_bundle(tmp_path / "one", manifest, dense, {name: whole_table(part) for name, part in tables.items()}, ids)
    state = start_state(read_bundle(tmp_path / "one"))
    assert state.config == config
    check_golden_scores(state)
    again = TableScorer(state.config, state.dense, state.tables).score_rows(*golden_inputs(config))
    np.testing.assert_array_equal(again, TableScorer(config, dense, tables).score_rows(*golden_inputs(config)))


def test_the_default_preset_is_what_it_was_when_bundles_were_first_published() -> None:
    config = preset()
    torch.manual_seed(config.seed)
    dense = DenseNetwork(config).state_dict()
    assert {name: tuple(part.shape) for name, part in dense.items() if not name.startswith("level.")} == DEFAULT_SHAPES
    tables = {
        name: torch.from_numpy(initial_vectors(name, np.arange(rows), config.embedding_dim, config.seed))
        for name, rows in config.capacities.items()
    }
    for task, scores in golden_scores(config, dense, tables).items():
        np.testing.assert_allclose(scores[:3], DEFAULT_SCORES[task], rtol=1e-5)
