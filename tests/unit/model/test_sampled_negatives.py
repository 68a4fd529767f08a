"""Where four in five of the items without a label are left out, weighted rows still teach the true probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from springtide.contracts.events import Context
from springtide.contracts.samples import Sample
from springtide.model.targets import Targets, targets_from_samples

KEEP, SLATES, ITEMS, SEED = 0.2, 6_000, 10, 23
CLICK, PURCHASE_GIVEN_CLICK = np.array([-2.0, 1.0]), np.array([-1.0, 0.7])


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits))


@pytest.fixture(scope="module")
def sampled() -> tuple[NDArray[np.float64], Targets, NDArray[np.float64]]:
    """Return features (N, 2) and targets of kept rows, and the features of all."""
    draw = np.random.default_rng(SEED)
    samples, kept = [], []
    everything = np.stack([np.ones(SLATES * ITEMS), draw.normal(size=SLATES * ITEMS)], axis=1)
    click = draw.random(len(everything)) < sigmoid(everything @ CLICK)
    purchase = click & (draw.random(len(everything)) < sigmoid(everything @ PURCHASE_GIVEN_CLICK))
    stays = click | (draw.random(len(everything)) < KEEP)
    for slate in range(SLATES):
        rows = np.arange(slate * ITEMS, (slate + 1) * ITEMS)[stays[slate * ITEMS : (slate + 1) * ITEMS]]
        kept.append(rows)
        samples.append(
            Sample(
                row_id=f"r{slate}:final", phase="final", request_id=f"r{slate}", user_id="u", experiment="", arm="",
                model_version="", context=Context(), impression_time_ms=0, age_ms=0,
                item_ids=[f"i{row}" for row in rows], positions=[int(row % ITEMS) + 1 for row in rows],
                labels={"click": click[rows].astype(int).tolist(), "cart": [0] * len(rows),
                        "purchase": purchase[rows].astype(int).tolist()},
                delays_ms={}, maturity={"click": "closed", "purchase": "closed"}, negative_keep=KEEP,
            )
        )  # fmt: skip
    return everything[np.concatenate(kept)], targets_from_samples(samples), everything


def fitted(x: NDArray[np.float64], y: NDArray[np.float32], w: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the weights of the logistic model with the least weighted log loss, by Newton's method."""
    theta = np.zeros(x.shape[1])
    for _ in range(12):
        p = sigmoid(x @ theta)
        hessian = (x * (w * p * (1 - p))[:, None]).T @ x
        theta += np.linalg.solve(hessian, x.T @ (w * (y - p)))
    return theta


def test_weighted_rows_teach_the_true_clicks(
    sampled: tuple[NDArray[np.float64], Targets, NDArray[np.float64]],
) -> None:
    x, targets, _ = sampled
    assert set(np.unique(targets.sampling_N).tolist()) == {1.0, 5.0}
    theta = fitted(x, targets.labels_NT[:, 0], targets.sampling_N)
    assert theta.tolist() == pytest.approx(CLICK.tolist(), abs=0.06)
    bare = fitted(x, targets.labels_NT[:, 0], np.ones_like(targets.sampling_N))
    assert bare[0] + math.log(KEEP) == pytest.approx(CLICK[0], abs=0.06)  # for clicks alone the shift would do as well


def test_weighted_rows_are_right_for_purchases_where_no_shift_is(
    sampled: tuple[NDArray[np.float64], Targets, NDArray[np.float64]],
) -> None:
    x, targets, everything = sampled
    truth = (sigmoid(everything @ CLICK) * sigmoid(everything @ PURCHASE_GIVEN_CLICK)).mean()
    labels = targets.labels_NT[:, 2]
    theta = fitted(x, labels, targets.sampling_N)
    assert sigmoid(everything @ theta).mean() == pytest.approx(truth, rel=0.04)
    shifted = fitted(x, labels, np.ones_like(targets.sampling_N)) + np.array([math.log(KEEP), 0.0])
    assert sigmoid(everything @ shifted).mean() < 0.75 * truth
