"""Add-to-cart as evidence of a purchase to come: taught by w, the loss is least at p; w is learned from final rows."""

from __future__ import annotations

import pytest
import torch

from springtide.model.delayed.gdfm import gdfm_lesson, known_log_odds, late_evidence, with_evidence
from springtide.model.delayed.logistic_filter import LogisticFilter
from springtide.model.delayed.rows import StreamRows
from springtide.model.targets import CLOSED, CORRECTED, FINAL, OBSERVED, OPEN, WHOLE

SEED = 6


def rows(kinds: list[tuple[int, int, int, bool]], p_BT: torch.Tensor, arrived: float) -> StreamRows:
    """Rows of one task from (label, maturity, phase, told)."""
    labels, maturity, phase, told = zip(*kinds, strict=True)
    return StreamRows(
        labels_BT=torch.tensor(labels, dtype=torch.float32).unsqueeze(1),
        maturity_BT=torch.tensor(maturity).unsqueeze(1),
        phase_B=torch.tensor(phase),
        told_BT=torch.tensor(told).unsqueeze(1),
        p_BT=p_BT,
        arrived_BT=torch.tensor([arrived]),
        sampling_B=torch.ones(len(kinds)),
    )


@pytest.mark.parametrize("p", [0.05, 0.4])
@pytest.mark.parametrize("arrived", [0.2, 0.7])
def test_taught_by_the_true_w_the_loss_is_least_at_p_whatever_the_evidence_says(p: float, arrived: float) -> None:
    late = p * (1 - arrived)
    expected = p * arrived
    for done, of_late, of_never in ((True, 0.8, 0.1), (False, 0.2, 0.9)):
        none_yet = rows([(0, OBSERVED, WHOLE, False)], torch.full((1, 1), p), arrived)
        ratio = torch.tensor(of_late / of_never).log()
        w = torch.sigmoid(known_log_odds(none_yet) + ratio)
        mass = late * of_late + (1 - p) * of_never
        assert float(w) == pytest.approx(late * of_late / mass, rel=1e-4), done
        expected += mass * float(gdfm_lesson(none_yet, w).labels_BT)
    assert expected == pytest.approx(p, rel=1e-4)


def test_only_observed_rows_teach_and_only_open_labels_are_guessed() -> None:
    kinds = [
        (0, OBSERVED, WHOLE, False), (1, OBSERVED, WHOLE, False), (0, CLOSED, WHOLE, False), (0, OPEN, WHOLE, False),
        (1, OBSERVED, CORRECTED, False), (1, CLOSED, FINAL, True), (0, CLOSED, FINAL, False),
    ]  # fmt: skip
    w_BT = torch.full((len(kinds), 1), 0.3, requires_grad=True)
    taught = gdfm_lesson(rows(kinds, torch.full((len(kinds), 1), 0.2), 0.5), w_BT)
    assert taught.weights_BT.squeeze(1).tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert taught.labels_BT.squeeze(1)[:3].tolist() == pytest.approx([0.3, 1.0, 0.0])
    assert not taught.labels_BT.requires_grad


def test_w_is_learned_from_final_rows_that_had_no_label_when_observed() -> None:
    draw = torch.Generator().manual_seed(SEED)
    p, arrived, size = 0.3, 0.5, 400
    late = LogisticFilter(4, 1)
    for _ in range(60):
        x_BD = torch.cat([torch.randn(size, 1, generator=draw), torch.ones(size, 1)], dim=1)
        bought_B = torch.rand(size, generator=draw) < p
        early_B = bought_B & (torch.rand(size, generator=draw) < torch.sigmoid(x_BD[:, 0]))  # F depends on x
        told_B = bought_B & ~early_B
        done_B = torch.rand(size, generator=draw) < torch.where(bought_B, 0.8, 0.1)
        kinds = [
            (int(bought), CLOSED, FINAL, bool(told))
            for bought, told in zip(bought_B.tolist(), told_B.tolist(), strict=True)
        ]
        final = rows(kinds, torch.full((size, 1), p), arrived)
        inputs_BD = with_evidence(x_BD, done_B)
        late.follow(late_evidence(inputs_BD, final, late(inputs_BD, known_log_odds(final))))
    for x in (-1.0, 0.0, 1.0):
        for done, of_buyers, of_others in ((True, 0.8, 0.1), (False, 0.2, 0.9)):
            later = p * float(torch.sigmoid(torch.tensor(-x))) * of_buyers
            asked = rows([(0, OBSERVED, WHOLE, False)], torch.full((1, 1), p), arrived)
            inputs_BD = with_evidence(torch.tensor([[x, 1.0]]), torch.tensor([done]))
            w = float(late(inputs_BD, known_log_odds(asked)))
            assert w == pytest.approx(later / (later + (1 - p) * of_others), abs=0.04), f"seed {SEED}: {x}, {done}"
