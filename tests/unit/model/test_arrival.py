"""How soon labels come, learned from the stream's positive rows: F of each row, whatever its p."""

from __future__ import annotations

import pytest
import torch

from springtide.model.delayed.arrival import Arrival, arrival_evidence
from springtide.model.delayed.logistic_filter import LARGEST_STEP, Evidence
from springtide.model.delayed.rows import StreamRows
from springtide.model.targets import CLOSED, CORRECTED, FINAL, OBSERVED, WHOLE

SEED = 5


def positives(inputs_BD: torch.Tensor, early_B: torch.Tensor, arrived_BT: torch.Tensor) -> StreamRows:
    """Positive rows of one task, observed where early, else corrected."""
    count = len(inputs_BD)
    return StreamRows(
        labels_BT=torch.ones(count, 1),
        maturity_BT=torch.full((count, 1), OBSERVED),
        phase_B=torch.where(early_B, WHOLE, CORRECTED),
        told_BT=torch.zeros(count, 1, dtype=torch.bool),
        p_BT=torch.full((count, 1), 0.2),
        arrived_BT=arrived_BT,
        sampling_B=torch.ones(count),
    )


def learned(curve: float, *, batches: int = 60, size: int = 200) -> tuple[Arrival, torch.Tensor, torch.Tensor]:
    """Learn a known law from a delay curve's F; returns the model, inputs to ask it about, and their true F."""
    draw = torch.Generator().manual_seed(SEED)
    weights_D = torch.tensor([1.2, -0.8, -0.4])
    arrival, arrived_T = Arrival(3, 1), torch.tensor([curve])

    def inputs(count: int) -> torch.Tensor:
        x_BD = torch.randn(count, 3, generator=draw)
        x_BD[:, 1], x_BD[:, 2] = x_BD[:, 0] * 0.8 + x_BD[:, 1] * 0.6, 1.0  # correlated inputs, and a constant
        return x_BD

    for _ in range(batches):
        x_BD = inputs(size)
        early_B = torch.rand(size, generator=draw) < torch.sigmoid(x_BD @ weights_D)
        arrival.follow(arrival_evidence(x_BD, positives(x_BD, early_B, arrival(x_BD, arrived_T))))
    asked_BD = inputs(500)
    return arrival, asked_BD, torch.sigmoid(asked_BD @ weights_D).unsqueeze(1)


@pytest.mark.parametrize("curve", [0.4, 0.02, 0.9999])
def test_f_of_each_row_is_learned_wherever_the_delay_curve_starts(curve: float) -> None:
    arrival, asked_BD, true_BT = learned(curve)
    off_BT = (arrival(asked_BD, torch.tensor([curve])) - true_BT).abs()
    assert off_BT.mean() < 0.02, f"seed {SEED}: {off_BT.mean()}"
    assert off_BT.max() < 0.12, f"seed {SEED}: {off_BT.max()}"


def test_a_curve_near_certainty_is_left_in_steps_not_in_a_leap() -> None:
    arrival, _, _ = learned(0.9999, batches=1)
    assert 0.5 < float(arrival.weights_DT.abs().max()) <= LARGEST_STEP


def test_before_any_label_f_is_the_delay_curves() -> None:
    shares = Arrival(2, 3)(torch.randn(4, 2), torch.tensor([0.3, 0.9, 1.0]))
    assert torch.allclose(shares, torch.tensor([0.3, 0.9, 1.0]).expand(4, 3))


def test_only_positives_that_were_told_once_speak() -> None:
    x_BD = torch.tensor([[1.0, 0.5], [1.0, -0.5], [1.0, 2.0]])
    arrived_BT = torch.full((3, 1), 0.6)
    alone = arrival_evidence(x_BD[:1], positives(x_BD[:1], torch.tensor([True]), arrived_BT[:1]))
    rows = StreamRows(
        labels_BT=torch.tensor([[1.0], [0.0], [1.0]]),
        maturity_BT=torch.tensor([[OBSERVED], [OBSERVED], [CLOSED]]),
        phase_B=torch.tensor([WHOLE, WHOLE, FINAL]),
        told_BT=torch.zeros(3, 1, dtype=torch.bool),
        p_BT=torch.full((3, 1), 0.2),
        arrived_BT=arrived_BT,
        sampling_B=torch.ones(3),
    )
    together = arrival_evidence(x_BD, rows)
    assert all(torch.allclose(one, other) for one, other in zip(alone, together, strict=True))
    assert alone.slope_DT.squeeze(1).tolist() == pytest.approx([0.4, 0.2])


def test_where_nothing_is_known_of_delays_nothing_is_learned() -> None:
    arrival, x_BD = Arrival(2, 1), torch.ones(9, 2)
    late_B = torch.zeros(9, dtype=torch.bool)
    arrival.follow(arrival_evidence(x_BD, positives(x_BD, late_B, arrival(x_BD, torch.tensor([1.0])))))
    assert not arrival.weights_DT.any()


def test_evidence_of_two_ranks_adds_up() -> None:
    draw = torch.Generator().manual_seed(SEED)
    x_BD, early_B = torch.randn(10, 2, generator=draw), torch.rand(10, generator=draw) < 0.5
    arrived_BT = torch.rand(10, 1, generator=draw)
    whole = arrival_evidence(x_BD, positives(x_BD, early_B, arrived_BT))
    parts = [
        arrival_evidence(x_BD[part], positives(x_BD[part], early_B[part], arrived_BT[part]))
        for part in (slice(4), slice(4, 10))
    ]
    added = Evidence(*(torch.stack(pair).sum(dim=0) for pair in zip(*parts, strict=True)))
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(whole, added, strict=True))


def test_a_row_that_stands_for_two_counts_twice() -> None:
    x_BD, early_B, arrived_BT = torch.ones(2, 1), torch.tensor([True, True]), torch.full((2, 1), 0.5)
    once = arrival_evidence(x_BD, positives(x_BD, early_B, arrived_BT))
    half = arrival_evidence(x_BD[:1], positives(x_BD[:1], early_B[:1], arrived_BT[:1]), torch.tensor([2.0]))
    assert all(torch.allclose(one, other) for one, other in zip(once, half, strict=True))
