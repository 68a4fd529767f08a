"""The network as a whole: positions, padding, the loss, and where its tables are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from springtide.contracts.errors import ShapeError
from springtide.contracts.tasks import TASKS
from springtide.model.batch import Batch, make_batch
from springtide.model.config import ModelConfig
from springtide.model.golden import golden_inputs
from springtide.model.inputs import FEATURES
from springtide.model.loss import task_losses, weighted_loss
from springtide.model.network import RankingNetwork, build_network


def tables_of(network: RankingNetwork) -> dict[str, torch.Tensor]:
    return {name: network.tables.state_dict()[f"embedding_bags.{name}.weight"] for name in network.config.capacities}


def learn(network: RankingNetwork, batch: Batch) -> None:
    """Give every parameter its gradient."""
    output = network(batch.dense_BF, batch.sparse)
    losses_T = network.auxiliary_losses(batch.labels_BT, batch.weights_BT)
    loss = weighted_loss(output, batch.labels_BT, batch.weights_BT, network.config.task_weights) + losses_T.sum()
    torch.autograd.backward(loss)


def golden_batch(config: ModelConfig, weight: float = 1.0, size: int | None = None) -> Batch:
    columns, rows = golden_inputs(config)
    labels = np.random.default_rng(1).integers(0, 2, (len(columns), len(TASKS))).astype(np.float32)
    return make_batch(columns, rows, labels, np.full_like(labels, weight), size=size, steps=config.reads_steps)


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


def test_on_meta_the_tables_have_no_storage(sizes: ModelConfig) -> None:
    network = build_network(sizes, device="meta")
    assert all(p.is_meta for p in network.tables.parameters())
    assert not any(p.is_meta for p in network.dense.parameters())
