"""The network as a whole: equivariance, masks, equal compositions, and serving equals training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from springtide.contracts.errors import ShapeError
from springtide.contracts.tasks import TASKS
from springtide.model.backbones import MixtureOfExperts, build_backbone
from springtide.model.batch import Batch, make_batch
from springtide.model.config import ModelConfig
from springtide.model.golden import golden_inputs
from springtide.model.inputs import FEATURES
from springtide.model.loss import task_losses, weighted_loss
from springtide.model.network import RankingNetwork, build_network
from springtide.model.presets import names, preset
from springtide.model.scorer import TableScorer
from springtide.model.state import dense_state


def tables_of(network: RankingNetwork) -> dict[str, torch.Tensor]:
    return {name: network.tables.state_dict()[f"embedding_bags.{name}.weight"] for name in network.config.capacities}


def learn(network: RankingNetwork, batch: Batch) -> None:
    """Give every parameter its gradient."""
    output = network(batch.dense_BF, batch.sparse)
    torch.autograd.backward(weighted_loss(output, batch.labels_BT, batch.weights_BT, network.config.task_weights))


def golden_batch(config: ModelConfig, weight: float = 1.0, size: int | None = None) -> Batch:
    columns, rows = golden_inputs(config)
    labels = np.random.default_rng(1).integers(0, 2, (len(columns), len(TASKS))).astype(np.float32)
    return make_batch(columns, rows, labels, np.full_like(labels, weight), size=size)


@pytest.mark.parametrize("name", names())
def test_the_scorer_equals_the_network(name: str, sizes: ModelConfig) -> None:
    config = preset(name, sizes)
    network = build_network(config).eval()
    batch = golden_batch(config)
    scores = TableScorer(config, dense_state(network), tables_of(network)).score_rows(*golden_inputs(config))
    expected = network(batch.dense_BF, batch.sparse).logp_BT.exp().detach().numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_row_scores_the_same_alone_and_in_any_order(sizes: ModelConfig) -> None:
    columns, rows = golden_inputs(sizes)
    network = build_network(sizes)
    scorer = TableScorer(sizes, dense_state(network), tables_of(network))
    scores = scorer.score_rows(columns, rows)
    order = np.random.default_rng(2).permutation(len(columns))
    shuffled = replace(columns, dense_NF=columns.dense_NF[order], slate_N=columns.slate_N[order])
    moved = {name: part[order] if name in ("item_id", "category", "position") else part for name, part in rows.items()}
    np.testing.assert_allclose(scorer.score_rows(shuffled, moved), scores[order], atol=1e-6)


def test_a_position_moves_a_click_but_no_conditional_head(sizes: ModelConfig) -> None:
    columns, rows = golden_inputs(sizes)
    network = build_network(sizes)
    pooled = torch.randn(len(columns), len(FEATURES) * sizes.embedding_dim)
    moved = pooled.clone()
    moved[:, -sizes.embedding_dim :] += 1.0
    dense = torch.from_numpy(columns.dense_NF)
    difference = network.dense.logits(dense, moved) - network.dense.logits(dense, pooled)
    assert (difference[:, 0] != 0).all()
    assert torch.allclose(difference[:, 0], difference[0, 0], atol=1e-5)  # the same for every row
    assert (difference[:, 1:] == 0).all()
    plain = build_network(replace(sizes, position_tower=False)).dense
    assert torch.equal(plain.logits(dense, moved), plain.logits(dense, pooled))


def test_masked_rows_give_no_gradient(sizes: ModelConfig) -> None:
    network = build_network(sizes)
    batch = golden_batch(sizes)
    batch.weights_BT[:8] = 0.0
    dense = batch.dense_BF.requires_grad_()
    learn(network, batch)
    assert dense.grad is not None
    assert (dense.grad[:8] == 0).all()
    assert (dense.grad[8:] != 0).any(dim=1).all()


def test_padding_and_empty_batches_teach_nothing(sizes: ModelConfig) -> None:
    network = build_network(sizes)
    plain, padded = golden_batch(sizes), golden_batch(sizes, size=32)
    losses = [
        task_losses(network(batch.dense_BF, batch.sparse), batch.labels_BT, batch.weights_BT)
        for batch in (plain, padded)
    ]
    assert torch.allclose(losses[0], losses[1])
    learn(network, Batch.empty(32))
    assert all(p.grad is None or (p.grad == 0).all() for p in network.parameters())


def test_a_batch_over_its_size_is_refused(sizes: ModelConfig) -> None:
    with pytest.raises(ShapeError, match="at most 8"):
        golden_batch(sizes, size=8)


def test_the_loss_is_the_log_loss_of_the_probabilities(sizes: ModelConfig) -> None:
    batch = golden_batch(sizes, weight=0.5)
    output = build_network(sizes)(batch.dense_BF, batch.sparse)
    expected = torch.nn.functional.binary_cross_entropy(output.logp_BT.exp(), batch.labels_BT, reduction="none")
    losses = task_losses(output, batch.labels_BT, batch.weights_BT)
    assert torch.allclose(losses, 0.5 * expected.mean(dim=0), atol=1e-6)


def test_mmoe_with_one_expert_is_the_shared_bottom(sizes: ModelConfig) -> None:
    mmoe = build_backbone(replace(sizes, backbone="mmoe", experts=1), 10, 3)
    bottom = build_backbone(replace(sizes, backbone="shared-bottom"), 10, 3)
    weights = mmoe.state_dict()
    bottom.load_state_dict({name.replace("experts", "bottom"): w for name, w in weights.items() if "gate" not in name})
    inputs = torch.randn(7, 10)
    assert torch.allclose(mmoe(inputs), bottom(inputs), atol=1e-6)


def test_mmoe_with_tied_gates_is_omoe(sizes: ModelConfig) -> None:
    omoe = build_backbone(replace(sizes, backbone="omoe"), 10, 3)
    mmoe = build_backbone(replace(sizes, backbone="mmoe"), 10, 3)
    weights = omoe.state_dict()
    mmoe.load_state_dict({**weights, "gate.weight": weights["gate.weight"].repeat(3, 1)})
    inputs = torch.randn(7, 10)
    assert torch.allclose(mmoe(inputs), omoe(inputs), atol=1e-6)


def test_gates_are_weights_that_add_up_to_one_even_under_dropout(sizes: ModelConfig) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(replace(sizes, gate_dropout=0.5), 10, 3).train()
    assert isinstance(backbone, MixtureOfExperts)
    gates = backbone.gates(torch.randn(200, 10))
    assert torch.allclose(gates.sum(dim=2), torch.ones(1))
    assert (gates == 0).float().mean() > 0.3
    assert (backbone.eval().gates(torch.randn(200, 10)) > 0).all()


def test_equal_settings_build_equal_networks_whatever_the_global_seed(sizes: ModelConfig) -> None:
    torch.manual_seed(1)
    one = build_network(sizes).state_dict()
    torch.manual_seed(2)
    two = build_network(sizes).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_on_meta_the_tables_have_no_storage(sizes: ModelConfig) -> None:
    network = build_network(sizes, device="meta")
    assert all(p.is_meta for p in network.tables.parameters())
    assert not any(p.is_meta for p in network.dense.parameters())


@pytest.mark.parametrize("name", names())
def test_every_parameter_learns(name: str, sizes: ModelConfig) -> None:
    config = preset(name, sizes)
    network = build_network(config)
    learn(network, golden_batch(config))
    assert all(p.grad is not None and (p.grad != 0).any() for p in network.parameters())
