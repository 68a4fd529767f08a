"""Sample weighting: the odds that the loss is least at are the expected worth, told at once or in parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from springtide.model.sample_weights import weighted_logistic, worth

SEED = 5
WEIGHTS = {"click": 1.0, "cart": 3.0, "purchase": 10.0, "purchase_price": 0.5}


def test_worth_by_hand() -> None:
    labels_BT = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    told_BT = torch.tensor([[True] * 3, [True] * 3, [True] * 3, [True, True, False]])
    found_B = worth(labels_BT, told_BT, torch.tensor([9.0, 9.0, 20.0, 20.0]), WEIGHTS)
    assert found_B.tolist() == [0.0, 1.0, 24.0, 4.0]


def best_odds(kind_B: Tensor, worth_B: Tensor, negative_B: Tensor) -> list[float]:
    """Return the odds per kind of row at which the mean loss is least, by Newton's method."""
    f_K = torch.zeros(int(kind_B.max()) + 1, dtype=torch.float64, requires_grad=True)
    for _ in range(40):
        scores_B = f_K[kind_B]
        losses_B = weighted_logistic(
            functional.logsigmoid(scores_B), functional.logsigmoid(-scores_B), worth_B, negative_B
        )
        (slope_K,) = torch.autograd.grad(losses_B.sum(), f_K)
        p_B = torch.sigmoid(scores_B.detach())
        bend_K = torch.zeros_like(f_K).index_add(0, kind_B, p_B * (1 - p_B) * (worth_B + negative_B))
        f_K = (f_K.detach() - slope_K / bend_K).requires_grad_()
    odds: list[float] = f_K.detach().exp().tolist()
    return odds


def test_the_odds_are_the_expected_worth_whether_told_at_once_or_in_parts() -> None:
    print(f"seed {SEED}")
    random = torch.Generator().manual_seed(SEED)
    rows, kinds = 4000, 3
    kind_B = torch.randint(kinds, (rows,), generator=random)
    chance_KT = torch.tensor([[0.1, 0.02, 0.01], [0.3, 0.1, 0.05], [0.6, 0.4, 0.3]])
    labels_BT = (torch.rand(rows, 3, generator=random) < chance_KT[kind_B]).double()
    price_B = torch.rand(rows, generator=random).double() * 30
    weights = {**WEIGHTS, "purchase_price": 0.02}
    everything = torch.ones(rows, 3, dtype=torch.bool)
    worth_B = labels_BT @ torch.tensor([1.0, 3.0, 10.0]).double() + 0.02 * price_B * labels_BT[:, 2]
    expected = [float(worth_B[kind_B == kind].mean()) for kind in range(kinds)]
    assert worth(labels_BT.float(), everything, price_B.float(), weights).tolist() == pytest.approx(worth_B.tolist())
    assert best_odds(kind_B, worth_B, torch.ones(rows).double()) == pytest.approx(expected)

    late_BT = labels_BT.bool() & (torch.rand(rows, 3, generator=random) < 0.4)  # these come in rows of their own
    parts_B = torch.cat(
        [
            worth(labels_BT.float(), ~late_BT, price_B.float(), weights),
            *[
                worth(labels_BT.float(), late_BT & (torch.arange(3) == task), price_B.float(), weights)
                for task in range(3)
            ],
        ]
    ).double()
    negative_B = torch.cat([torch.ones(rows), torch.zeros(3 * rows)]).double()
    assert best_odds(kind_B.repeat(4), parts_B, negative_B) == pytest.approx(expected, rel=1e-5)
