"""Delayed feedback: on a stream of known p and F each method's loss is least where its derivation says."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from springtide.model.delayed.phases import METHODS, PHASES, Method
from springtide.model.delayed.registry import BY_NAME, lesson
from springtide.model.delayed.rows import StreamRows
from springtide.model.graph import LogProbabilities
from springtide.model.loss import task_losses
from springtide.model.targets import CLOSED, CORRECTED, FINAL, OBSERVED, OPEN, WHOLE

PHASE_OF = {WHOLE: "observed", CORRECTED: "corrected", FINAL: "final"}
GRID = [(p, arrived) for p in (0.01, 0.2, 0.7) for arrived in (0.1, 0.5, 1.0)]


def stream(method: Method, p: float, arrived: float) -> tuple[list[float], list[tuple[int, int, int, bool]]]:
    """Return the mass per impression of each kind of row, and (label, maturity, phase, told) of each."""
    early, late = p * arrived, p * (1 - arrived)
    settled = CLOSED if arrived == 1.0 else OBSERVED
    kinds = [
        (early, (1, settled, WHOLE, False)),
        (1 - early, (0, settled, WHOLE, False)),
        (late, (1, OBSERVED, CORRECTED, False)),
        (early, (1, CLOSED, FINAL, False)),
        (late, (1, CLOSED, FINAL, True)),
        (1 - p, (0, CLOSED, FINAL, False)),
    ]
    fed = [(mass, row) for mass, row in kinds if PHASE_OF[row[2]] in PHASES[method]]
    return [mass for mass, _ in fed], [row for _, row in fed]


def stream_rows(rows: list[tuple[int, int, int, bool]], p_BT: torch.Tensor, arrived: float) -> StreamRows:
    return StreamRows(
        labels_BT=torch.tensor([[label] for label, _, _, _ in rows], dtype=p_BT.dtype),
        maturity_BT=torch.tensor([[maturity] for _, maturity, _, _ in rows]),
        phase_B=torch.tensor([phase for _, _, phase, _ in rows]),
        told_BT=torch.tensor([[told] for _, _, _, told in rows]),
        p_BT=p_BT,
        arrived_BT=torch.tensor([arrived], dtype=p_BT.dtype),
        sampling_B=torch.ones(len(rows), dtype=p_BT.dtype),
    )


def slope(
    method: Method, p: float, arrived: float, logit: float, *, believed: float | None = None, tide: float = 1.0
) -> float:
    """Return the expected loss's derivative by the logit.

    `believed` is the F that the method is told; `tide` times as many late positives come as open rows await.
    """
    masses, kinds = stream(method, p, arrived)
    masses = [mass * (tide if kind[2] == CORRECTED else 1.0) for mass, kind in zip(masses, kinds, strict=True)]
    free = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    output = LogProbabilities(
        torch.nn.functional.logsigmoid(free).expand(len(kinds), 1),
        torch.nn.functional.logsigmoid(-free).expand(len(kinds), 1),
    )
    rows = stream_rows(kinds, output.logp_BT.exp(), arrived if believed is None else believed)
    rows = dataclasses.replace(rows, sampling_B=torch.tensor(masses, dtype=torch.float64))
    taught = lesson(method, rows)
    assert not taught.weights_BT.requires_grad
    loss = task_losses(BY_NAME[method].seen(output, rows), taught.labels_BT, taught.weights_BT).sum()
    (gradient,) = torch.autograd.grad(loss, free)
    return float(gradient)


def optimum(method: Method, p: float, arrived: float, believed: float | None = None, tide: float = 1.0) -> float:
    """Return the only probability at which a model rests, by bisection."""
    low, high = -9.0, 6.9  # below certainty, where weights are clipped
    for _ in range(24):  # to a millionth of the log odds
        middle = (low + high) / 2
        low, high = (
            (middle, high) if slope(method, p, arrived, middle, believed=believed, tide=tide) < 0 else (low, middle)
        )
    return 1 / (1 + math.exp(-(low + high) / 2))


@pytest.mark.parametrize("method", [method for method in METHODS if method != "vanilla"])
def test_the_loss_is_least_at_p(method: Method) -> None:
    for p, arrived in GRID:
        assert optimum(method, p, arrived) == pytest.approx(p, rel=1e-4), (p, arrived)


def test_vanilla_teaches_too_little_by_what_comes_late() -> None:
    for p, arrived in GRID:
        assert optimum("vanilla", p, arrived) == pytest.approx(p / (1 + p * (1 - arrived)), rel=1e-4), (p, arrived)


@pytest.mark.parametrize("tide", [0.0, 0.2, 1.5])
def test_balanced_stays_at_p_when_late_positives_do_not_come_as_fast_as_rows_that_await_theirs(tide: float) -> None:
    p, arrived = 0.2, 0.4
    assert optimum("balanced", p, arrived, tide=tide) == pytest.approx(p, rel=1e-4)
    assert abs(optimum("es-dfm", p, arrived, tide=tide) / p - 1.0) > 0.1  # by night and by day


def test_balanced_takes_negatives_as_they_are_while_nothing_is_known_of_delays() -> None:
    _, kinds = stream("balanced", 0.3, 0.4)
    taught = lesson("balanced", stream_rows(kinds, torch.full((len(kinds), 1), 0.3), 1.0))
    assert taught.weights_BT[1].item() == 1.0


def test_where_the_share_differs_from_the_believed_one_the_bias_is_the_documented_one() -> None:
    p, own, believed = 0.2, 0.3, 0.6
    expected: dict[Method, float] = {
        "es-dfm": p / (1 + p * (believed - own)), "defer": p * (1 + own) / (1 + believed), "fnw": p, "fnc": p,
    }  # fmt: skip
    for method, value in expected.items():
        assert optimum(method, p, own, believed) == pytest.approx(value, rel=1e-4), method


@pytest.mark.parametrize("method", METHODS)
def test_the_slope_is_that_of_the_loss_with_its_weights_held(method: Method) -> None:
    def loss(logit_B1: torch.Tensor, held_B1: torch.Tensor) -> torch.Tensor:
        output = LogProbabilities(torch.nn.functional.logsigmoid(logit_B1), torch.nn.functional.logsigmoid(-logit_B1))
        rows = stream_rows(kinds, torch.sigmoid(held_B1), 0.4)
        taught = lesson(method, rows)
        return task_losses(BY_NAME[method].seen(output, rows), taught.labels_BT, taught.weights_BT).sum()

    _, kinds = stream(method, 0.3, 0.4)
    for at in (-4.0, -0.5, 2.0):
        logit_B1 = torch.full((len(kinds), 1), at, dtype=torch.float64, requires_grad=True)
        (slope_B1,) = torch.autograd.grad(loss(logit_B1, logit_B1), logit_B1)
        for row in range(len(kinds)):
            nudge_B1 = torch.zeros_like(logit_B1)
            nudge_B1[row] = 1e-5
            held_B1 = logit_B1.detach()
            rise = loss(held_B1 + nudge_B1, held_B1) - loss(held_B1 - nudge_B1, held_B1)
            assert float(slope_B1[row]) == pytest.approx(float(rise) / 2e-5, rel=1e-6, abs=1e-9), (at, row)


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_bounded_at_every_probability(method: Method) -> None:
    for p in (0.0, 1e-6, 0.3, 0.9999, 1.0):
        for arrived in (0.0, 0.5, 1.0):
            _, kinds = stream(method, p, arrived)
            taught = lesson(method, stream_rows(kinds, torch.full((len(kinds), 1), p), arrived))
            assert taught.weights_BT.isfinite().all()
            assert float(taught.weights_BT.min()) >= 0.0
            assert float(taught.weights_BT.max()) <= 2.25, (p, arrived)


def test_balanced_with_a_share_for_each_row_rests_at_each_rows_p() -> None:
    """Two kinds of rows, one whose labels come early and one late, in one batch; the slope of each is 0 at its p."""
    laws = ((0.1, 0.2), (0.3, 0.8))
    streams = [stream("balanced", p, arrived) for p, arrived in laws]
    kinds = [kind for _, found in streams for kind in found]
    masses = [mass for found, _ in streams for mass in found]
    p_B1 = [[p] for (p, _), (found, _) in zip(laws, streams, strict=True) for _ in found]
    arrived_B1 = [[arrived] for (_, arrived), (found, _) in zip(laws, streams, strict=True) for _ in found]
    rows = stream_rows(kinds, torch.tensor(p_B1, dtype=torch.float64), 0.5)
    weights_B = torch.tensor(masses, dtype=torch.float64)
    shares_BT = torch.tensor(arrived_B1, dtype=torch.float64)
    taught = lesson("balanced", dataclasses.replace(rows, arrived_BT=shares_BT, sampling_B=weights_B))
    slopes_B = (taught.weights_BT * (rows.p_BT - rows.labels_BT)).squeeze(1)
    assert slopes_B.view(2, -1).sum(dim=1).tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("method", ["es-dfm", "defer"])
def test_each_row_is_taught_by_its_own_share(method: Method) -> None:
    _, kinds = stream(method, 0.3, 0.4)
    p_BT = torch.full((len(kinds), 1), 0.3)
    shares_BT = torch.linspace(0.1, 0.9, len(kinds)).unsqueeze(1)
    together = lesson(method, dataclasses.replace(stream_rows(kinds, p_BT, 0.4), arrived_BT=shares_BT))
    for row, share in enumerate(shares_BT.squeeze(1).tolist()):
        alone = lesson(method, stream_rows(kinds, p_BT, share))
        assert torch.allclose(alone.weights_BT[row], together.weights_BT[row]), row


def test_weights_follow_the_derivations() -> None:
    p, arrived = 0.3, 0.6
    late = p * (1 - arrived)
    expected: dict[Method, list[float]] = {
        "balanced": [1, (2 - arrived) * (1 - p) / (1 - p * arrived), 4 * late],  # k at its largest, 2
        "es-dfm": [1 + late, (1 + late) * (1 - p) / (1 - p * arrived), 1 + late],
        "fnw": [(1 + p) + (1 - p) * (1 + p), (1 - p) * (1 + p), 1 + p],
        "fnc": [2, 1, 1],
        "defer": [2 / 1.6, (1 - p) / (1 - p + late / 2), 2 / 1.6, 2 / 1.6, 0, (1 - p) / (1 - p + late / 2)],
        "vanilla": [1, 1, 1],
        "wait": [1, 1, 1],
    }
    for method, weights in expected.items():
        _, kinds = stream(method, p, arrived)
        rows = stream_rows(kinds, torch.full((len(kinds), 1), p), arrived)
        taught = lesson(method, rows)
        assert taught.weights_BT.squeeze(1).tolist() == pytest.approx(weights), method


@pytest.mark.parametrize("method", METHODS)
def test_maturity_decides_what_counts(method: Method) -> None:
    rows = StreamRows(
        labels_BT=torch.zeros(1, 3),
        maturity_BT=torch.tensor([[OPEN, OBSERVED, CLOSED]]),
        phase_B=torch.tensor([WHOLE]),
        told_BT=torch.zeros(1, 3, dtype=torch.bool),
        p_BT=torch.full((1, 3), 0.2),
        arrived_BT=torch.tensor([0.5, 0.5, 1.0]),
        sampling_B=torch.ones(1),
    )
    weights = lesson(method, rows).weights_BT[0].tolist()
    assert weights[0] == 0.0
    assert (weights[1] > 0.0) == (method != "wait")
    assert weights[2] == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_lessons_stay_finite_at_certainty(method: Method) -> None:
    certain = torch.tensor([[1.0], [0.0], [1.0]], requires_grad=True)
    rows = stream_rows(
        [(1, OBSERVED, WHOLE, False), (0, OBSERVED, WHOLE, False), (0, OBSERVED, WHOLE, False)], certain, 1.0
    )
    taught = lesson(method, rows)
    assert not taught.weights_BT.requires_grad
    assert taught.weights_BT.isfinite().all()
    assert taught.labels_BT.isfinite().all()
