"""Losses of one step: the mean over ranks is the whole batch's, and a slate loss reads whole slates."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from springtide.contracts.events import Context
from springtide.contracts.samples import Phase, Sample
from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig
from springtide.model.delayed.phases import Method
from springtide.model.graph import LogProbabilities
from springtide.model.inputs import columns_from_samples
from springtide.model.loss import task_losses
from springtide.model.presets import preset
from springtide.model.slate_loss import bpr
from springtide.model.targets import targets_from_samples
from trainer.objective import Objective, StepCounts, Taught

ALL_T = torch.ones(3)


def sample(request: str, clicks: list[int], phase: Phase = "observed") -> Sample:
    return Sample(
        row_id=f"{request}:{phase}", phase=phase, request_id=request, user_id="u", experiment="e", arm="a",
        model_version="", context=Context(), impression_time_ms=1, age_ms=1,
        item_ids=[f"i{place}" for place in range(len(clicks))], positions=[1 + place for place in range(len(clicks))],
        labels={"click": clicks, "cart": clicks, "purchase": [0] * len(clicks)}, delays_ms={},
        maturity={"click": "closed", "cart": "open", "purchase": "observed"},
    )  # fmt: skip


SAMPLES = [sample("a", [1, 0, 0]), sample("b", [0, 1]), sample("c", [0, 0]), sample("d", [1])]
LOGITS_BT = torch.randn(8, 3, generator=torch.Generator().manual_seed(3))


def taught(samples: list[Sample]) -> Taught:
    return columns_from_samples(samples), targets_from_samples(samples)


def said(logits_BT: Tensor) -> LogProbabilities:
    return LogProbabilities(functional.logsigmoid(logits_BT), functional.logsigmoid(-logits_BT))


def counts(objective: Objective, parts: list[Taught]) -> StepCounts:
    return StepCounts(
        rows_T=torch.tensor([objective.rows(targets) for _, targets in parts]).sum(dim=0),
        slates_T=torch.tensor([objective.slates(*part) for part in parts]).sum(dim=0),
    )


@pytest.mark.parametrize("name", ["mmoe", "bpr", "listwise", "sample-weighting"])
def test_the_mean_over_ranks_is_the_whole_batch_s(name: str) -> None:
    config = preset(name)
    alone, shared = Objective(config, "vanilla", 1), Objective(config, "vanilla", 2)
    whole, left, right = taught(SAMPLES), taught(SAMPLES[:1]), taught(SAMPLES[1:])
    expected_T = alone.losses(said(LOGITS_BT), whole, ALL_T, counts(alone, [whole]))
    together = counts(shared, [left, right])
    halves = [
        shared.losses(said(LOGITS_BT[:3]), left, ALL_T, together),
        shared.losses(said(LOGITS_BT[3:]), right, ALL_T, together),
    ]
    assert torch.allclose((halves[0] + halves[1]) / 2, expected_T)


def test_a_slate_loss_is_the_mean_over_slates_beside_the_log_loss() -> None:
    config = dataclasses.replace(ModelConfig(), slate_loss="bpr", slate_share=0.75)
    objective, whole = Objective(config, "vanilla", 1), taught(SAMPLES)
    told = counts(objective, [whole])
    assert told.slates_T.tolist() == [3, 0, 3]  # a lone item has nothing beside it; an open task is not judged
    found_T = objective.losses(said(LOGITS_BT), whole, ALL_T, told)
    labels_BT = torch.from_numpy(whole[1].labels_NT)
    judged_BT = torch.tensor([[True, False, True]]).expand(8, 3)
    log_T = task_losses(said(LOGITS_BT), labels_BT, judged_BT.float())
    slates = bpr(LOGITS_BT[:, 0], labels_BT[:, 0], torch.from_numpy(whole[0].slate_N), judged_BT[:, 0])
    assert found_T[0] == pytest.approx(float(0.25 * log_T[0] + 0.75 * slates.sum() / 3))
    assert found_T[1] == 0.0
    assert found_T[2] == pytest.approx(float(0.25 * log_T[2]))


def test_a_rank_without_rows_has_a_gradient_of_zero() -> None:
    objective = Objective(preset("bpr"), "vanilla", 2)
    logits_BT = torch.randn(1, len(TASKS), requires_grad=True)
    nothing = StepCounts(rows_T=torch.zeros(3), slates_T=torch.zeros(3))
    loss = objective.losses(said(logits_BT), None, ALL_T, nothing).sum()
    (gradient_BT,) = torch.autograd.grad(loss, logits_BT)
    assert (gradient_BT == 0).all()


def test_sample_weighting_takes_each_impression_once_and_each_label_as_it_comes() -> None:
    config = preset("sample-weighting")
    late = sample("a", [1], "corrected")
    cases: list[tuple[Method, list[Sample]]] = [
        ("vanilla", [SAMPLES[0], late, sample("a", [1, 0, 0], "final")]),
        ("defer", [SAMPLES[0], late, sample("a", [1, 0, 0], "final")]),
        ("vanilla", [SAMPLES[0], late]),
    ]
    for method, samples in cases:
        objective, rows = Objective(config, method, 1), taught(samples)
        output = said(LOGITS_BT[: len(rows[0])])
        found_T = objective.losses(output, rows, ALL_T, StepCounts(rows_T=torch.tensor([3, 0, 4]), slates_T=ALL_T))
        negatives = output.log1mp_BT[:3, 0].sum()
        positives = (1.0 * output.logp_BT[0, 0]) + (1.0 * output.logp_BT[3, 0])  # both rows hold a closed click
        assert found_T.tolist() == pytest.approx([-float(negatives + positives) / 4, 0.0, 0.0])
