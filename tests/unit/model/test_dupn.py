"""DUPN: gates and attention by hand, and the user's part once per request."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from springtide.model.batch import make_batch
from springtide.model.config import ModelConfig
from springtide.model.dupn import PropertyGatedLSTM, UserEncoder
from springtide.model.golden import SLATES, golden_inputs
from springtide.model.network import build_network
from springtide.model.presets import preset
from springtide.model.scorer import TableScorer
from springtide.model.sequence import STEPS, Behaviours, padded_steps
from springtide.model.state import dense_state
from tests.unit.model.test_network import tables_of


@pytest.fixture
def config(sizes: ModelConfig) -> ModelConfig:
    return preset("dupn", sizes)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def made_up(config: ModelConfig, lengths: list[int]) -> tuple[Tensor, Behaviours]:
    draws = torch.Generator().manual_seed(5)
    told_BL = torch.arange(STEPS) < torch.tensor(lengths).unsqueeze(1)
    vectors_BLD = torch.randn(len(lengths), STEPS, config.embedding_dim, generator=draws) * told_BL.unsqueeze(2)
    codes_BL = torch.randint(1, 5, told_BL.shape, generator=draws) * told_BL
    asking_BQ = torch.randn(len(lengths), 3 * config.embedding_dim, generator=draws)
    return asking_BQ, Behaviours(vectors_BLD=vectors_BLD, codes_BL=codes_BL, rows_BL=codes_BL)


def test_two_steps_of_the_property_gated_lstm_by_hand() -> None:
    lstm = PropertyGatedLSTM(dim=1, units=1)
    with torch.no_grad():
        lstm.item.weight.copy_(torch.tensor([[0.5], [-0.3], [1.2], [0.8]]))  # i, f, content, o
        lstm.item.bias.copy_(torch.tensor([0.1, 0.2, 0.05, -0.1]))
        lstm.property.weight.copy_(torch.tensor([[0.7], [-0.6], [0.4]]))  # i, f, o
        lstm.hidden.weight.copy_(torch.tensor([[0.3], [0.9], [0.6], [-0.2]]))
    found = lstm(torch.tensor([[[2.0], [-1.0]]]), torch.tensor([[[1.0], [3.0]]])).flatten().tolist()
    h = c = 0.0
    for step, (e, p) in enumerate([(2.0, 1.0), (-1.0, 3.0)]):
        i = sigmoid(0.5 * e + 0.7 * p + 0.3 * h + 0.1)
        f = sigmoid(-0.3 * e - 0.6 * p + 0.9 * h + 0.2)
        o = sigmoid(0.8 * e + 0.4 * p - 0.2 * h - 0.1)
        c = f * c + i * math.tanh(1.2 * e + 0.6 * h + 0.05)
        h = o * math.tanh(c)
        assert found[step] == pytest.approx(h, abs=1e-6)


def test_a_property_opens_gates_but_adds_no_content() -> None:
    torch.manual_seed(1)
    lstm = PropertyGatedLSTM(dim=3, units=4)
    torch.nn.init.zeros_(lstm.item.bias)
    nothing, properties = torch.zeros(2, 3, 3), torch.randn(2, 3, 3)
    assert (lstm(nothing, properties) == 0).all()  # open gates, but no item behind them
    items = torch.randn(2, 3, 3)
    assert not torch.allclose(lstm(items, properties), lstm(items, -properties))


def test_attention_is_a_softmax_of_the_steps_told_and_depends_on_who_asks(config: ModelConfig) -> None:
    torch.manual_seed(1)
    encoder = UserEncoder(config)
    asking_BQ, behaviours = made_up(config, [3, 1, 0])
    properties_BLD = encoder.property(behaviours.codes_BL)
    hidden_BLU = encoder.lstm(behaviours.vectors_BLD, properties_BLD)
    shares_BL = encoder.shares(asking_BQ, properties_BLD, hidden_BLU, behaviours.codes_BL > 0)
    by_hand = [
        float(
            encoder.score(encoder.attention(torch.cat([asking_BQ[0], properties_BLD[0, t], hidden_BLU[0, t]])).tanh())
        )
        for t in range(3)
    ]
    total = sum(math.exp(score) for score in by_hand)
    assert shares_BL[0].tolist() == pytest.approx([math.exp(score) / total for score in by_hand] + [0.0] * 7, abs=1e-6)
    assert shares_BL[1].tolist() == [1.0] + [0.0] * 9
    assert shares_BL[2].tolist() == [0.0] * 10
    user_BU = encoder(asking_BQ, behaviours)
    assert torch.allclose(user_BU[0], (shares_BL[0].unsqueeze(1) * hidden_BLU[0]).sum(dim=0), atol=1e-6)
    assert (user_BU[2] == 0).all()
    other = encoder(asking_BQ.flip(0), behaviours)
    assert not torch.allclose(other[0], user_BU[0])


def test_padding_teaches_nothing_and_says_nothing(config: ModelConfig) -> None:
    torch.manual_seed(1)
    encoder = UserEncoder(config)
    asking_BQ, behaviours = made_up(config, [4, 0])
    vectors_BLD = behaviours.vectors_BLD.clone().requires_grad_()
    encoder(asking_BQ, behaviours._replace(vectors_BLD=vectors_BLD)).sum().backward()
    assert vectors_BLD.grad is not None
    told_BL = behaviours.codes_BL > 0
    assert (vectors_BLD.grad[told_BL] != 0).any(dim=1).all()
    assert (vectors_BLD.grad[~told_BL] == 0).all()
    noisy = behaviours._replace(vectors_BLD=behaviours.vectors_BLD + torch.randn(2, STEPS, 4) * ~told_BL.unsqueeze(2))
    assert torch.equal(encoder(asking_BQ, noisy), encoder(asking_BQ, behaviours))


def test_the_order_of_users_does_not_matter_but_that_of_behaviours_does(config: ModelConfig) -> None:
    torch.manual_seed(1)
    encoder = UserEncoder(config)
    asking_BQ, behaviours = made_up(config, [10, 5, 10, 0, 2])
    users_BU = encoder(asking_BQ, behaviours)
    order = torch.tensor([3, 0, 4, 1, 2])
    moved_BU = encoder(asking_BQ[order], Behaviours(*(part[order] for part in behaviours)))
    assert torch.allclose(moved_BU, users_BU[order], atol=1e-6)
    turned = Behaviours(*(part.flip(1) for part in behaviours))
    assert not torch.allclose(encoder(asking_BQ, turned)[0], users_BU[0])


def test_the_users_part_runs_once_per_request_and_equals_the_joint_model(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(config).eval()
    scorer = TableScorer(config, dense_state(network), tables_of(network))
    columns, rows = golden_inputs(config)
    batch = make_batch(columns, rows, steps=True)
    joint_NT = network(batch.dense_BF, batch.sparse).logp_BT.exp().detach().numpy()
    users: list[int] = []
    forward = UserEncoder.forward

    def counted(encoder: UserEncoder, asking_BQ: Tensor, behaviours: Behaviours) -> Tensor:
        users.append(len(asking_BQ))
        return forward(encoder, asking_BQ, behaviours)

    monkeypatch.setattr(UserEncoder, "forward", counted)
    split_NT = scorer.score_rows(columns, rows)
    assert users == [SLATES]
    np.testing.assert_allclose(split_NT, joint_NT, atol=1e-6)
    untold = replace(columns, behaviours=np.ones_like(columns.behaviours))
    assert np.abs(scorer.score_rows(untold, rows) - split_NT).max() > 1e-6  # what was done matters


def test_ragged_lists_are_padded_at_their_end() -> None:
    padded = padded_steps(np.array([7, 8, 9], np.int64), np.array([2, 0, 1], np.int64))
    assert padded.tolist() == [[7, 8] + [0] * 8, [0] * 10, [9] + [0] * 9]
