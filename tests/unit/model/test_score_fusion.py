"""A model per objective: what one head reads and learns, no other does."""

from __future__ import annotations

import torch

from springtide.model.backbones.own_vectors import own_shares
from springtide.model.config import ModelConfig
from springtide.model.dense_features import DENSE_FEATURES
from springtide.model.dense_network import DenseNetwork
from springtide.model.inputs import FEATURES
from springtide.model.presets import preset


def test_every_number_of_a_vector_is_one_head_s() -> None:
    assert own_shares(3, 4).tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert (own_shares(3, 16).sum(dim=0) == 1).all()


def test_a_head_s_loss_moves_its_own_numbers_alone(sizes: ModelConfig) -> None:
    config = preset("score-fusion", sizes)
    network = DenseNetwork(config)
    first_KIH = network.get_parameter("backbone.bottoms.layers.0.weight_PIH")
    pooled_BD = torch.randn(8, len(FEATURES) * config.embedding_dim, requires_grad=True)
    dense_BF = torch.randn(8, len(DENSE_FEATURES))
    shares_KD = own_shares(3, config.embedding_dim).repeat(1, len(FEATURES)) > 0
    for task in range(3):
        loss = network(dense_BF, pooled_BD).logp_BT[:, task].sum()
        gradients = torch.autograd.grad(loss, [pooled_BD, first_KIH, network.wide.weight])
        assert (gradients[0][:, ~shares_KD[task]] == 0).all()
        assert (gradients[0] != 0).any(dim=0).sum() == shares_KD[task].sum()  # the position's among them
        for part_K in gradients[1:]:
            assert [bool((part != 0).any()) for part in part_K] == [head == task for head in range(3)]
