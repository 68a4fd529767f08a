from dataclasses import replace

import pytest
import torch
from torch import Tensor

from springtide.contracts.errors import ShapeError
from springtide.model.config import ModelConfig
from springtide.model.presets import preset
from springtide.model.tabular import Columns, TabularLearner, TabularNetwork, shuffled

pytestmark = pytest.mark.unit

SEED = 11
COLUMNS = Columns(cardinalities=(40, 5), dense=3)
SIZES = ModelConfig(embedding_dim=4, expert_units=(8, 4), tower_units=(4,))
MODELS = ("shared-bottom", "omoe", "mmoe", "ple", "sparse-mmoe", "cross-stitch", "soft-sharing")


def rows(count: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(SEED)
    ids_CB = torch.stack([torch.randint(0, size, (count,), generator=random) for size in COLUMNS.cardinalities])
    labels_BK = (torch.rand(count, 2, generator=random) < 0.3).float()
    return torch.randn(count, COLUMNS.dense, generator=random), ids_CB, labels_BK


@pytest.mark.parametrize("name", MODELS)
def test_a_permuted_batch_gives_permuted_logits(name: str) -> None:
    network = TabularNetwork(preset(name, SIZES), COLUMNS, heads=2).eval()
    dense_BI, ids_CB, _ = rows(9)
    order_B = torch.tensor([3, 1, 8, 0, 2, 7, 6, 5, 4])
    with torch.no_grad():
        straight_BK, permuted_BK = network(dense_BI, ids_CB), network(dense_BI[order_B], ids_CB[:, order_B])
    assert straight_BK.shape == (9, 2)
    torch.testing.assert_close(permuted_BK, straight_BK[order_B])


@pytest.mark.parametrize("name", MODELS)
def test_every_backbone_learns_what_an_id_says(name: str) -> None:
    config = replace(preset(name, SIZES), dense_learning_rate=0.03)
    learner = TabularLearner(TabularNetwork(config, COLUMNS, heads=2))
    dense_BI, ids_CB, _ = rows(512)
    labels_BK = torch.stack([ids_CB[0] % 2, ids_CB[1] % 2], dim=1).float()
    losses = [float(learner.learn(dense_BI, ids_CB, labels_BK)) for _ in range(30)]
    assert losses[-1] < 0.4 * losses[0], f"seed {SEED}"


def test_a_step_moves_the_looked_up_rows_alone() -> None:
    network = TabularNetwork(preset("mmoe", SIZES), COLUMNS, heads=2)
    dense_BI, ids_CB, labels_BK = rows(6)
    before = {name: table.clone() for name, table in network.tables.state_dict().items()}
    TabularLearner(network).learn(dense_BI, ids_CB, labels_BK)
    for (name, table_RD), ids_B in zip(network.tables.state_dict().items(), ids_CB, strict=True):
        moved = (table_RD != before[name]).any(dim=1).nonzero().view(-1)
        assert moved.tolist() == sorted(set(ids_B.tolist()))


def test_a_table_steps_as_row_wise_adagrad_says() -> None:
    """v <- v + mean_d(g^2); w <- w - lr g / (sqrt(v) + eps), g summed over the row's appearances."""
    network = TabularNetwork(preset("mmoe", SIZES), COLUMNS, heads=2)
    dense_BI, ids_CB, labels_BK = rows(6)
    before_RD = network.tables.state_dict()["embedding_bags.column_0.weight"].clone()
    vectors_BD = network.embed(ids_CB).detach().requires_grad_()
    network.embed = lambda rows_CB: vectors_BD  # type: ignore[method-assign]
    TabularLearner(network).learn(dense_BI, ids_CB, labels_BK)
    gradient_RD = torch.zeros_like(before_RD)
    assert vectors_BD.grad is not None
    gradient_RD.index_add_(0, ids_CB[0], vectors_BD.grad[:, :4])
    expected_RD = before_RD - SIZES.table_learning_rate * gradient_RD / (
        gradient_RD.square().mean(dim=1, keepdim=True).sqrt() + 1e-8
    )
    learned = TabularNetwork(preset("mmoe", SIZES), COLUMNS, heads=2)
    TabularLearner(learned).learn(dense_BI, ids_CB, labels_BK)
    actual_RD = learned.tables.state_dict()["embedding_bags.column_0.weight"]
    torch.testing.assert_close(actual_RD, expected_RD)


def test_a_seed_gives_the_same_network() -> None:
    dense_BI, ids_CB, _ = rows(5)
    one, same, other = (
        TabularNetwork(replace(preset("mmoe", SIZES), seed=seed), COLUMNS, heads=2) for seed in (1, 1, 2)
    )
    assert torch.equal(one(dense_BI, ids_CB), same(dense_BI, ids_CB))
    assert not torch.equal(one(dense_BI, ids_CB), other(dense_BI, ids_CB))


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_stays_near_float32_and_gives_float32(name: str) -> None:
    dense_BI, ids_CB, labels_BK = rows(64)
    exact, rounded = (
        TabularNetwork(replace(preset(name, SIZES), precision=precision), COLUMNS, heads=2).eval()
        for precision in ("float32", "bfloat16")
    )
    logits_BK = rounded(dense_BI, ids_CB)
    assert logits_BK.dtype == torch.float32
    torch.testing.assert_close(logits_BK, exact(dense_BI, ids_CB), atol=0.02, rtol=0.02)
    assert not torch.equal(logits_BK, exact(dense_BI, ids_CB))
    learner = TabularLearner(rounded.train())
    first = learner.learn(dense_BI, ids_CB, labels_BK)
    for _ in range(20):
        last = learner.learn(dense_BI, ids_CB, labels_BK)
    assert last < first


def test_wrong_columns_are_named() -> None:
    network = TabularNetwork(preset("mmoe", SIZES), COLUMNS, heads=2)
    with pytest.raises(ShapeError, match="expected 2 categorical and 3 dense columns, got 1 and 3"):
        network(torch.zeros(4, 3), torch.zeros(1, 4, dtype=torch.int64))


def test_dense_columns_alone_and_regression() -> None:
    config = replace(preset("mmoe", SIZES), dense_learning_rate=0.02)
    network = TabularNetwork(config, Columns(dense=3), heads=1)
    dense_BI = rows(200)[0]
    learner = TabularLearner(network)
    none = torch.zeros(0, 200, dtype=torch.int64)
    losses = [float(learner.learn(dense_BI, none, dense_BI[:, :1] * 2.0, regression=True)) for _ in range(100)]
    assert losses[-1] < 0.3 * losses[0]


def test_an_epoch_has_each_row_once_but_for_the_remainder() -> None:
    batches = list(shuffled(10, 4, torch.Generator().manual_seed(SEED)))
    assert [len(batch) for batch in batches] == [4, 4]
    assert len(set(torch.cat(batches).tolist())) == 8
