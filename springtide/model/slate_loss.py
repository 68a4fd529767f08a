"""Losses over the items of a slate. Shapes: B rows, S slates, T tasks; a row's slate is `slate_B`, from 0 to S - 1.

Every loss takes scores (any real number, such as a logit), labels, the slate of each row and a mask of judged rows, and
returns one number per slate. A row that is not judged takes no part at all: no term, no place in a sum, no gradient. A
slate that says nothing, for it has no positive, or no pair, or one judged row, has loss 0.

A slate is the rows of one sample that are in the batch; the trainer never parts a sample. Where negatives are sampled
a slate has some of its negatives, each as likely as another. A constant added to all scores of a slate changes
nothing, so these losses say nothing of how high a probability is: the trainer keeps some log loss beside them.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from springtide.model.graph import LogProbabilities

SlateLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def bpr(scores_B: Tensor, labels_B: Tensor, slate_B: Tensor, judged_B: Tensor) -> Tensor:
    """Return each slate's mean over pairs of -log sigmoid(s_i - s_j) where label i > label j, (S,).

    Bayesian personalised ranking (Rendle et al. 2009) with pairs of one slate, so that both items were seen by one
    user at one time. Equal labels make no pair. Cost: B x B; meant for a batch of slates, not for a catalogue.
    """
    rivals_BB = _together(slate_B, judged_B)
    pairs_BB = rivals_BB & (labels_B.unsqueeze(1) > labels_B.unsqueeze(0))
    first, second = pairs_BB.nonzero(as_tuple=True)
    losses = functional.softplus(scores_B[second] - scores_B[first])
    return _slate_means(losses, slate_B[first], slate_B)


def listwise_softmax(scores_B: Tensor, labels_B: Tensor, slate_B: Tensor, judged_B: Tensor) -> Tensor:
    """Return each slate's -sum_i (y_i / sum y) log softmax(s)_i, the softmax over its judged rows, (S,).

    ListNet's top-one loss (Cao et al. 2007) with the labels' own shares, so that positives of equal label share alike.
    Labels are at least 0.
    """
    judged = judged_B.nonzero().squeeze(1)
    scores, labels, slates = scores_B[judged], labels_B[judged], slate_B[judged]
    sums_S = _slate_sums(labels, slates, slate_B)
    logs = scores - _slate_logsumexp(scores, slates, slate_B)[slates]
    shares = labels / sums_S[slates].clamp(min=torch.finfo(labels.dtype).tiny)
    return _slate_sums(-shares * logs, slates, slate_B)


def list_mle(scores_B: Tensor, labels_B: Tensor, slate_B: Tensor, judged_B: Tensor) -> Tensor:
    """Return each slate's negative log likelihood of the labels' order (ListMLE, Xia et al. 2008), (S,).

    The Plackett-Luce model draws items one after another with chances proportional to exp s. A tie has no true order:
    here a group of equal labels is drawn from itself and all below it, each of its items against all of them, which
    is Breslow's form and does not depend on how rows are sorted. Items of the lowest label are drawn last and add
    nothing. With labels that all differ it is the plain ListMLE. Divided by the number of items that add a term.
    With labels of 0 and 1 it is the softmax loss; the two part ways where labels have grades.
    """
    rivals_BB = _together(slate_B, judged_B) & (labels_B.unsqueeze(0) <= labels_B.unsqueeze(1))
    below_BB = rivals_BB & (labels_B.unsqueeze(0) < labels_B.unsqueeze(1))
    drawn = below_BB.any(dim=1).nonzero().squeeze(1)
    rival_scores = scores_B.unsqueeze(0).masked_fill(~rivals_BB[drawn], -torch.inf)
    losses = rival_scores.logsumexp(dim=1) - scores_B[drawn]
    return _slate_means(losses, slate_B[drawn], slate_B)


LIST_LOSSES: Final[Mapping[str, SlateLoss]] = {"softmax": listwise_softmax, "list-mle": list_mle}
"""By `model.list_loss`."""


def choose_slate_loss(slate_loss: str, list_loss: str) -> SlateLoss:
    """Return what `model.slate_loss` (bpr or listwise) and `model.list_loss` name."""
    return bpr if slate_loss == "bpr" else LIST_LOSSES[list_loss]


def task_slate_losses(
    loss: SlateLoss, output: LogProbabilities, labels_BT: Tensor, slate_B: Tensor, judged_BT: Tensor
) -> Tensor:
    """Return each task's sum of slate losses, (T,), with the tasks' log-odds as scores."""
    logits_BT = output.logp_BT - output.log1mp_BT
    return torch.stack(
        [
            loss(logits_B, labels_B, slate_B, judged_B).sum()
            for logits_B, labels_B, judged_B in zip(logits_BT.T, labels_BT.T, judged_BT.T, strict=True)
        ]
    )


def comparable_slates(slate_B: Tensor, judged_BT: Tensor) -> Tensor:
    """Return how many slates have two judged rows or more, so that they can say something, per task, int64 (T,)."""
    judged_ST = judged_BT.new_zeros((_slates(slate_B), judged_BT.shape[1]), dtype=torch.int64)
    return (judged_ST.index_add(0, slate_B, judged_BT.to(torch.int64)) > 1).sum(dim=0)


def _together(slate_B: Tensor, judged_B: Tensor) -> Tensor:
    """Return which rows are both judged and of one slate, bool (B, B)."""
    return (slate_B.unsqueeze(1) == slate_B.unsqueeze(0)) & judged_B.unsqueeze(1) & judged_B.unsqueeze(0)


def _slates(slate_B: Tensor) -> int:
    return int(slate_B.max()) + 1 if len(slate_B) else 0


def _slate_sums(values: Tensor, slates: Tensor, slate_B: Tensor) -> Tensor:
    return values.new_zeros(_slates(slate_B)).index_add(0, slates, values)


def _slate_means(values: Tensor, slates: Tensor, slate_B: Tensor) -> Tensor:
    counts_S = _slate_sums(torch.ones_like(values), slates, slate_B)
    return _slate_sums(values, slates, slate_B) / counts_S.clamp(min=1.0)


def _slate_logsumexp(scores: Tensor, slates: Tensor, slate_B: Tensor) -> Tensor:
    most_S = scores.new_full((_slates(slate_B),), -torch.inf)
    most_S = most_S.scatter_reduce(0, slates, scores.detach(), "amax").clamp(min=torch.finfo(scores.dtype).min)
    sums_S = _slate_sums(torch.exp(scores - most_S[slates]), slates, slate_B)
    return most_S + torch.log(sums_S.clamp(min=torch.finfo(scores.dtype).tiny))
