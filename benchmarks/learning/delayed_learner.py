"""A logistic model that learns a stream hour by hour, by a method of delayed feedback, as ES-DFM's paper does.

Each hour it learns the rows that the joiner wrote in that hour, then says the probabilities of the next hour's
impressions (Yang et al. 2021, section 5.1: train on hour h, test on hour h + 1). It is judged against the known p, in
expectation over the labels that could have come, so that no luck of the judge's labels is in the figures.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.learning.delayed_stream import LABELS, Floats, Ints, Stream, item_numbers
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.model.delayed.arrival import Arrival, arrival_evidence
from springtide.model.delayed.gdfm import gdfm_lesson, known_log_odds, late_evidence, with_evidence
from springtide.model.delayed.logistic_filter import LogisticFilter
from springtide.model.delayed.phases import PHASES, Method
from springtide.model.delayed.registry import BY_NAME, lesson
from springtide.model.delayed.rows import Lesson, StreamRows
from springtide.model.graph import LogProbabilities
from springtide.model.loss import task_losses
from springtide.model.targets import Targets, targets_from_samples
from springtide.runtime.settings import milliseconds

STEP: Final = 0.45
"""Of plain gradient descent, one step an hour; over p (1 - p) at the base rate, the loss's curvature there."""
CART: Final = TASKS.index("cart")
PURCHASE: Final = TASKS.index("purchase")


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner:
    """One contender."""

    method: Method
    oracle: bool = False
    """Told the final labels with the observed row, as no one can be."""
    by_features: bool = False
    """F is learned per row (arrival.py), not one for all."""
    by_carts: bool = False
    """What is not bought yet is taught by what carts tell (gdfm.py); the method only says which rows are read."""


LEARNERS: Final[dict[str, Learner]] = {
    "oracle": Learner(method="wait", oracle=True),
    "wait": Learner(method="wait"),
    "vanilla": Learner(method="vanilla"),
    "fnw": Learner(method="fnw"),
    "fnc": Learner(method="fnc"),
    "balanced": Learner(method="balanced", by_features=True),
    "balanced, one F": Learner(method="balanced"),
    "es-dfm": Learner(method="es-dfm", by_features=True),
    "es-dfm, one F": Learner(method="es-dfm"),
    "defer": Learner(method="defer", by_features=True),
    "defer, one F": Learner(method="defer"),
    "gdfm": Learner(method="defer", by_carts=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Of probabilities given an hour ahead, against the known truth."""

    nll: float
    """Nats per impression."""
    auc: float
    """Within an hour, mean over hours."""
    pr_auc: float
    """Likewise."""
    calibration: float
    """Sum of predicted over sum of true probabilities of an hour, mean over hours."""
    swing: float = 0.0
    """Standard deviation over hours of that ratio's logarithm."""


class Rows(NamedTuple):
    """R rows of the joiner: which items they are of, and what they say."""

    item_R: Ints
    targets: Targets
    carted_R: NDArray[np.bool_]
    """In a cart by the observation window."""


class _Model:
    """A logistic model, and one of how soon labels come."""

    def __init__(self, stream: Stream, learner: Learner) -> None:
        inputs = stream.x_NF.shape[1]
        self._learner, self._arrival, self._late = learner, Arrival(inputs, 1), LogisticFilter(2 * inputs, 1)
        self._arrived_T = torch.tensor([stream.arrived], dtype=torch.float32)
        self._weights_F1 = torch.zeros(inputs, 1)
        self._weights_F1[-1] = stream.law.base  # how rare purchases are is no news
        self._weights_F1.requires_grad_()
        rate = 1.0 / (1.0 + math.exp(-stream.law.base))
        self._descent = torch.optim.SGD([self._weights_F1], lr=STEP / (rate * (1.0 - rate)))

    @torch.no_grad()
    def says(self, x_RF: Tensor) -> Floats:
        """Return p of each row."""
        p_R: Floats = torch.sigmoid(x_RF @ self._weights_F1).squeeze(1).double().numpy()
        return p_R

    def learns(self, x_RF: Tensor, targets: Targets, carted_R: Tensor) -> None:
        """Take one step by the product's loss; what is learned beside takes in what the rows say."""
        logits_R1 = x_RF @ self._weights_F1
        output = LogProbabilities(functional.logsigmoid(logits_R1), functional.logsigmoid(-logits_R1))
        by_features, method = self._learner.by_features, self._learner.method
        arrived_RT = self._arrival(x_RF, self._arrived_T) if by_features else self._arrived_T
        rows = StreamRows.of(targets, output.logp_BT.exp(), arrived_RT)
        if by_features:
            self._arrival.follow(arrival_evidence(x_RF, rows))
        taught = self._by_carts(x_RF, rows, carted_R) if self._learner.by_carts else lesson(method, rows)
        self._descent.zero_grad()
        losses_T = task_losses(BY_NAME[method].seen(output, rows), taught.labels_BT, taught.weights_BT)
        torch.autograd.backward(losses_T.sum())
        self._descent.step()

    def _by_carts(self, x_RF: Tensor, rows: StreamRows, carted_R: Tensor) -> Lesson:
        inputs_RD = with_evidence(x_RF, carted_R)
        late_R1 = self._late(inputs_RD, known_log_odds(rows))
        self._late.follow(late_evidence(inputs_RD, rows, late_R1))
        return gdfm_lesson(rows, late_R1)


def learn(stream: Stream, learner: Learner, *, judge_from: int) -> Figures:
    """Learn the stream once and return the figures, over the hours from `judge_from` on."""
    x_NF = torch.from_numpy(stream.x_NF).to(torch.float32)
    told = _oracle(stream.hours) if learner.oracle else stream.hours
    model = _Model(stream, learner)
    hours = int(stream.hour_N[-1]) + 1
    first_N = np.searchsorted(stream.hour_N, np.arange(hours + 1))
    judged = []
    for hour, samples in enumerate(told[: hours - 1]):
        rows = purchase_rows([sample for sample in samples if sample.phase in PHASES[learner.method]])
        if len(rows.item_R):
            model.learns(x_NF[rows.item_R], rows.targets, torch.from_numpy(rows.carted_R))
        if hour + 1 >= judge_from:
            ahead = slice(first_N[hour + 1], first_N[hour + 2])
            judged.append(dataclasses.astuple(_figures(model.says(x_NF[ahead]), stream.truth_N[ahead])))
    means = np.mean(judged, axis=0)
    swing = float(np.std(np.log([calibration for _, _, _, calibration, _ in judged])))
    nll, auc, pr_auc, calibration, _ = means.tolist()
    return Figures(nll=nll, auc=auc, pr_auc=pr_auc, calibration=calibration, swing=swing)


def purchase_rows(samples: Sequence[Sample]) -> Rows:
    """Return what the samples say of the purchase task, T = 1."""
    whole = targets_from_samples(samples, milliseconds(LABELS.observed_age))
    keep = slice(PURCHASE, PURCHASE + 1)
    return Rows(
        item_numbers(samples),
        dataclasses.replace(
            whole,
            labels_NT=whole.labels_NT[:, keep],
            maturity_NT=whole.maturity_NT[:, keep],
            told_NT=whole.told_NT[:, keep],
        ),
        (whole.labels_NT[:, CART] > 0.5) & ~whole.told_NT[:, CART],
    )


def _oracle(hours: list[list[Sample]]) -> list[list[Sample]]:
    """Return observed rows that hold their final labels already, as final rows of the hour."""
    finals = {sample.request_id: sample for samples in hours for sample in samples if sample.phase == "final"}
    return [
        [
            msgspec.structs.replace(finals[sample.request_id], features=sample.features)
            for sample in samples
            if sample.phase == "observed" and sample.request_id in finals
        ]
        for samples in hours
    ]


def _figures(said_N: Floats, truth_N: Floats) -> Figures:
    """Return the figures expected over labels drawn from the truth: p positives, 1 - p negatives per impression."""
    order = np.argsort(-said_N, kind="stable")
    positive_N, negative_N = truth_N[order], 1.0 - truth_N[order]
    found_N, false_N = np.cumsum(positive_N), np.cumsum(negative_N)
    return Figures(
        nll=float(-(truth_N * np.log(said_N) + (1.0 - truth_N) * np.log1p(-said_N)).mean()),
        auc=float((negative_N * (found_N - positive_N / 2.0)).sum() / (found_N[-1] * false_N[-1])),
        pr_auc=float((positive_N * found_N / (found_N + false_N)).sum() / found_N[-1]),
        calibration=float(said_N.mean() / truth_N.mean()),
    )
