"""DeepMCP: both nets' losses by hand, what is masked, and that nothing of them is served."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from springtide.contracts.tasks import TASKS
from springtide.model.auxiliary.correlation import NEGATIVES, CorrelationNet
from springtide.model.auxiliary.matching import MatchingNet
from springtide.model.config import ModelConfig
from springtide.model.inputs import FEATURES
from springtide.model.network import build_network
from springtide.model.presets import preset
from springtide.model.sequence import STEPS, Behaviours
from springtide.model.state import dense_state
from tests.unit.model.test_network import golden_batch


@pytest.fixture
def config(sizes: ModelConfig) -> ModelConfig:
    return preset("deepmcp", sizes)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def histories(rows: list[list[int]]) -> Behaviours:
    """Items whose vector is their row over ten, in one dimension."""
    rows_BL = torch.tensor([row + [0] * (STEPS - len(row)) for row in rows])
    return Behaviours(vectors_BLD=rows_BL.unsqueeze(2) / 10.0, codes_BL=(rows_BL > 0).long(), rows_BL=rows_BL)


def bare(config: ModelConfig) -> CorrelationNet:
    """A net whose h is the vector itself."""
    net = CorrelationNet(config)
    net.layers = nn.Sequential(nn.Identity())
    return net


def test_matching_is_the_log_loss_of_a_product(config: ModelConfig) -> None:
    net = MatchingNet(config)
    names = [feature.name for feature in FEATURES]
    pooled_BD = torch.zeros(3, len(names) * config.embedding_dim)
    towers = [nn.Linear(features * config.embedding_dim, 1, bias=False) for features in (4, 2)]
    for tower in towers:  # of user_id, device, country and history; of item_id and category
        nn.init.ones_(tower.weight)
    net.user, net.item = (nn.Sequential(tower) for tower in towers)
    for name, value in (("user_id", 1.0), ("history", 0.5), ("item_id", 2.0), ("category", -0.5), ("position", 99.0)):
        pooled_BD[:, names.index(name) * config.embedding_dim] = value
    assert net(pooled_BD).tolist() == pytest.approx([1.5 * 1.5] * 3)
    loss = net.loss(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 2.0, 0.0]))
    assert float(loss) == pytest.approx(-(log_sigmoid(2.25) + 2.0 * log_sigmoid(-2.25)) / 2.0)


def test_near_items_are_pairs_and_other_rows_give_the_negatives(config: ModelConfig) -> None:
    """Rows 1, 2, 3 one after another, and a row of a single other item, which is every negative that counts."""
    net = bare(config)
    net(histories([[1, 2, 3], [5]]))
    seen = net._seen
    assert seen is not None
    negatives_BL = net._negative_losses(*seen)
    for place, item in enumerate([0.1, 0.2, 0.3]):  # each counts 5 (0.5) as often as it was drawn, and no own item
        drawn = float(negatives_BL[0, place]) / -log_sigmoid(-item * 0.5)
        assert drawn == pytest.approx(round(drawn), abs=1e-4)
        assert 0 <= drawn <= NEGATIVES
    assert float(negatives_BL[0, :3].sum()) > 0
    n = negatives_BL[0].tolist()
    positives = [-log_sigmoid(0.1 * 0.2), -log_sigmoid(0.2 * 0.3), -log_sigmoid(0.1 * 0.3)]
    pairs = [2 * positives[0] + n[0] + n[1], 2 * positives[1] + n[1] + n[2], 2 * positives[2] + n[0] + n[2]]
    expected = sum(pairs) / 6 / 2  # six ordered pairs; two rows, of which the second has no pair
    assert float(net.loss(torch.tensor([True, True]))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("row", [[4, 4], [4], [0, 4], [4, 0, 0, 6]])
def test_an_item_with_itself_unknown_items_and_far_ones_are_no_pairs(config: ModelConfig, row: list[int]) -> None:
    net = bare(config)
    net(histories([row]))
    assert float(net.loss(torch.tensor([True]))) == 0.0


def test_draws_repeat(config: ModelConfig) -> None:
    told, losses = histories([[1, 2, 3, 4], [5, 6, 7], [8, 9]]), []
    for seed in (0, 1):  # of everything else
        torch.manual_seed(seed)
        net = bare(config)
        net(told)
        losses.append(float(net.loss(torch.ones(3, dtype=torch.bool))))
    assert losses[0] == losses[1]


def test_masked_rows_give_neither_pairs_nor_negatives(config: ModelConfig) -> None:
    told = histories([[1, 2, 3], [4, 5, 6]])
    vectors_BLD = told.vectors_BLD.clone().requires_grad_()
    net = bare(config)
    net(told._replace(vectors_BLD=vectors_BLD))
    net.loss(torch.tensor([True, False])).backward()  # type: ignore[no-untyped-call]
    assert vectors_BLD.grad is not None
    assert (vectors_BLD.grad[0, :3] != 0).all()
    assert (vectors_BLD.grad[1] == 0).all()


def test_the_nets_add_to_the_click_by_their_weights(config: ModelConfig) -> None:
    def losses(alpha: float, beta: float) -> Tensor:
        network = build_network(replace(config, matching_weight=alpha, correlation_weight=beta)).train()
        batch = golden_batch(network.config)
        network(batch.dense_BF, batch.sparse)
        return network.auxiliary_losses(batch.labels_BT, batch.weights_BT).detach()

    alone = losses(1.0, 0.0), losses(0.0, 1.0)
    assert [float(part[TASKS.index("click")]) > 0 for part in alone] == [True, True]
    assert all((part[TASKS.index("cart") :] == 0).all() for part in alone)
    assert (losses(0.0, 0.0) == 0).all()
    twice = losses(2.0, 0.0)
    assert torch.allclose(twice, 2.0 * alone[0])


def test_each_net_moves_the_shared_embeddings(config: ModelConfig) -> None:
    """User and item vectors by matching, items of the history by correlation."""
    for changes, moved in (({"correlation_weight": 0.0}, "user"), ({"matching_weight": 0.0}, "item")):
        network = build_network(replace(config, **changes))  # type: ignore[arg-type]
        batch = golden_batch(network.config)
        network(batch.dense_BF, batch.sparse)
        network.auxiliary_losses(batch.labels_BT, batch.weights_BT).sum().backward()  # type: ignore[no-untyped-call]
        slope = network.get_parameter(f"tables.embedding_bags.{moved}.weight").grad
        assert slope is not None
        assert (slope != 0).any()


def test_a_bundle_holds_nothing_of_the_nets(config: ModelConfig) -> None:
    network = build_network(config)
    plain = build_network(replace(config, matching_weight=0.0, correlation_weight=0.0))
    assert network.auxiliary is not None
    assert dense_state(network).keys() == dense_state(plain).keys()
    assert all(torch.equal(part, dense_state(plain)[name]) for name, part in dense_state(network).items())


def test_scores_do_not_depend_on_the_nets(config: ModelConfig) -> None:
    network = build_network(config).eval()
    batch = golden_batch(config)
    before = network(batch.dense_BF, batch.sparse).logp_BT
    assert network.auxiliary is not None
    with torch.no_grad():
        for parameter in network.auxiliary.parameters():
            parameter.add_(1.0)
    assert torch.equal(network(batch.dense_BF, batch.sparse).logp_BT, before)
    assert (network.auxiliary_losses(batch.labels_BT, batch.weights_BT) == 0).all()  # nothing learned from
