"""Slate losses against values by hand; masks, ties, and slates that say nothing."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch.nn import functional

from springtide.model.graph import LogProbabilities
from springtide.model.slate_loss import (
    SlateLoss,
    bpr,
    choose_slate_loss,
    comparable_slates,
    list_mle,
    listwise_softmax,
    task_slate_losses,
)

LOSSES: list[SlateLoss] = [bpr, listwise_softmax, list_mle]


def losses(
    kind: SlateLoss,
    scores: list[float],
    labels: list[float],
    slates: list[int] | None = None,
    judged: list[bool] | None = None,
) -> list[float]:
    found: list[float] = kind(
        torch.tensor(scores, dtype=torch.float64),
        torch.tensor(labels, dtype=torch.float64),
        torch.tensor(slates or [0] * len(scores), dtype=torch.int64),
        torch.tensor(judged or [True] * len(scores), dtype=torch.bool),
    ).tolist()
    return found


def lost(difference: float) -> float:
    return log(1 + exp(-difference))


def test_bpr_by_hand() -> None:
    assert losses(bpr, [2.0, 0.5, 1.0], [1, 0, 0]) == pytest.approx([(lost(1.5) + lost(1.0)) / 2])
    two = losses(bpr, [2.0, 0.5, 1.0, 0.0, 3.0], [1, 0, 0, 1, 0], [0, 0, 0, 1, 1])
    assert two == pytest.approx([(lost(1.5) + lost(1.0)) / 2, lost(-3.0)])


def test_listwise_softmax_by_hand() -> None:
    whole = exp(2.0) + exp(0.5) + exp(1.0)
    assert losses(listwise_softmax, [2.0, 0.5, 1.0], [1, 0, 0]) == pytest.approx([-log(exp(2.0) / whole)])
    tied = losses(listwise_softmax, [2.0, 0.5, 1.0], [1, 0, 1])
    assert tied == pytest.approx([-(log(exp(2.0) / whole) + log(exp(1.0) / whole)) / 2])
    graded = losses(listwise_softmax, [2.0, 0.5, 1.0], [3, 0, 1])
    assert graded == pytest.approx([-(3 * log(exp(2.0) / whole) + log(exp(1.0) / whole)) / 4])


def test_list_mle_by_hand() -> None:
    a, b, c = exp(2.0), exp(0.5), exp(1.0)
    ordered = losses(list_mle, [2.0, 0.5, 1.0], [2, 1, 0])
    assert ordered == pytest.approx([-(log(a / (a + b + c)) + log(b / (b + c))) / 2])
    tied = losses(list_mle, [2.0, 0.5, 1.0], [1, 1, 0])
    assert tied == pytest.approx([-(log(a / (a + b + c)) + log(b / (a + b + c))) / 2])
    assert losses(list_mle, [0.5, 2.0, 1.0], [1, 1, 0]) == pytest.approx(tied)


@pytest.mark.parametrize("kind", LOSSES)
def test_unjudged_rows_take_no_part(kind: SlateLoss) -> None:
    alone = losses(kind, [2.0, 0.5, 1.0], [1, 0, 0])
    assert losses(kind, [2.0, 9.0, 0.5, 1.0], [1, 1, 0, 0], judged=[True, False, True, True]) == pytest.approx(alone)
    scores = torch.tensor([2.0, 9.0, 0.5], requires_grad=True)
    judged = torch.tensor([True, False, True])
    loss = kind(scores, torch.tensor([1.0, 1.0, 0.0]), torch.zeros(3, dtype=torch.int64), judged).sum()
    (gradient,) = torch.autograd.grad(loss, scores)
    assert gradient[1] == 0.0
    assert gradient[0] < 0.0 < gradient[2]


@pytest.mark.parametrize("kind", LOSSES)
def test_slates_that_say_nothing_add_nothing(kind: SlateLoss) -> None:
    alone = losses(kind, [2.0, 0.5], [1, 0])
    assert losses(kind, [2.0, 0.5, 7.0, 3.0], [1, 0, 0, 0], [0, 0, 1, 1]) == pytest.approx([*alone, 0.0])
    assert losses(kind, [2.0, 7.0], [1, 0], [0, 1]) == [0.0, 0.0]
    assert losses(kind, [7.0, 3.0], [0, 0]) == [0.0]
    assert losses(kind, [7.0, 3.0], [1, 0], judged=[False, False]) == [0.0]
    assert losses(kind, [], []) == []


@pytest.mark.parametrize("kind", LOSSES)
def test_order_of_rows_does_not_matter_and_large_scores_stay_finite(kind: SlateLoss) -> None:
    scores, labels, slates = [40.0, -40.0, 3.0, 1.0, 2.0], [0.0, 1.0, 1.0, 0.0, 1.0], [0, 0, 1, 1, 1]
    turned = [4, 2, 0, 3, 1]
    value = losses(kind, scores, labels, slates)
    assert value == pytest.approx(
        losses(kind, [scores[i] for i in turned], [labels[i] for i in turned], [slates[i] for i in turned])
    )
    assert value[0] == pytest.approx(80.0)
    assert 0.0 < value[1] < 2.0


@pytest.mark.parametrize("kind", LOSSES)
def test_a_constant_on_a_slate_changes_nothing(kind: SlateLoss) -> None:
    scores, labels, slates = [0.3, -1.0, 3.0, 1.0], [1.0, 0.0, 0.0, 1.0], [0, 0, 1, 1]
    moved = [score + 5.0 * slate for score, slate in zip(scores, slates, strict=True)]
    assert losses(kind, moved, labels, slates) == pytest.approx(losses(kind, scores, labels, slates))


def test_tasks_have_their_own_labels_and_masks() -> None:
    logits_BT = torch.tensor([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [1.0, 4.0, 0.0]])
    output = LogProbabilities(functional.logsigmoid(logits_BT), functional.logsigmoid(-logits_BT))
    labels_BT = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    judged_BT = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    slate_B = torch.zeros(3, dtype=torch.int64)
    found_T = task_slate_losses(bpr, output, labels_BT, slate_B, judged_BT)
    assert found_T.tolist() == pytest.approx([(lost(1.5) + lost(1.0)) / 2, lost(1.0), 0.0])
    assert comparable_slates(slate_B, judged_BT).tolist() == [1, 1, 0]


def test_the_settings_choose() -> None:
    assert choose_slate_loss("bpr", "softmax") is bpr
    assert choose_slate_loss("listwise", "softmax") is listwise_softmax
    assert choose_slate_loss("listwise", "list-mle") is list_mle
