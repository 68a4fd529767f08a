"""The levels follow base rates: what they predict too much they pay back, and no shift changes nothing."""

import numpy as np
import pytest
import torch

from springtide.model.graph import LogProbabilities
from springtide.model.level import FIRST_VARIANCE, LARGEST_SHIFT, SWING, Level, early_evidence
from springtide.model.targets import CLOSED, CORRECTED, OBSERVED, OPEN, WHOLE, Targets

DAY_MS = 86_400_000
SEED = 4


def test_no_shift_changes_nothing_and_a_shift_multiplies_the_odds() -> None:
    level, p_BT = Level(), torch.tensor([[0.2, 1e-7, 0.999], [0.5, 0.03, 1e-30]], dtype=torch.float64)
    output = LogProbabilities(p_BT.log(), (-p_BT).log1p())
    torch.testing.assert_close(level(output).logp_BT, output.logp_BT)
    torch.testing.assert_close(level(output).log1mp_BT, output.log1mp_BT)
    torch.testing.assert_close(level.probabilities(p_BT), p_BT)
    level.shift_T += torch.tensor([0.7, -0.4, 2.0])
    odds_BT = p_BT / (1 - p_BT) * level.shift_T.exp()
    torch.testing.assert_close(level.probabilities(p_BT), odds_BT / (1 + odds_BT))
    torch.testing.assert_close(level(output).logp_BT.exp(), odds_BT / (1 + odds_BT))
    torch.testing.assert_close(level(output).log1mp_BT.exp(), 1 / (1 + odds_BT))


def test_logits_of_forty_keep_finite_values_and_gradients() -> None:
    level = Level()
    level.shift_T += 0.5
    logits_BT = torch.linspace(-40, 40, 81).repeat_interleave(3).view(-1, 3).requires_grad_()
    output = level(
        LogProbabilities(torch.nn.functional.logsigmoid(logits_BT), torch.nn.functional.logsigmoid(-logits_BT))
    )
    torch.autograd.backward((output.logp_BT + output.log1mp_BT).sum())
    assert torch.isfinite(output.logp_BT).all()
    assert torch.isfinite(output.log1mp_BT).all()
    assert logits_BT.grad is not None
    assert torch.isfinite(logits_BT.grad).all()
    assert (logits_BT.grad[logits_BT.abs() > 1] != 0).all()


def test_evidence_is_first_rows_alone_and_the_share_that_has_come() -> None:
    targets = Targets(
        labels_NT=np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1]], np.float32),
        maturity_NT=np.array([[CLOSED, OBSERVED, OPEN], [CLOSED, OBSERVED, OBSERVED], [CLOSED] * 3], np.int8),
        phase_N=np.array([WHOLE, WHOLE, CORRECTED], np.int8),
        told_NT=np.zeros((3, 3), np.bool_),
        sampling_N=np.array([1, 5, 1], np.float32),  # of rows like the second one in five was kept
        price_N=np.zeros(3, np.float32),
    )
    p_NT = torch.full((3, 3), 0.2)
    seen_T, expected_T = early_evidence(targets, WHOLE, p_NT, torch.tensor([0.5, 0.5, 0.25]))
    assert seen_T.tolist() == [1.0, 5.0, 0.0]
    assert expected_T.tolist() == pytest.approx([1.2, 0.6, 0.25])


def test_a_rate_that_halves_is_followed_and_what_was_too_much_is_paid_back() -> None:
    """250 labels a day, half of them early; 18 runs of 8 days, three at once; the rate halves after 4."""
    print(f"seed {SEED}")
    rng, share, base_p, rows, hours = np.random.default_rng(SEED), 0.5, 0.005, 50_000 // 24, 24 * 8
    truth = np.where(np.arange(hours) < 24 * 4, base_p, base_p / 2)
    predicted, labels = np.zeros((18, hours)), rng.binomial(rows, truth * share, (18, hours))
    for runs in np.arange(18).reshape(6, 3):
        level = Level()
        for hour in range(hours):
            predicted[runs, hour] = level.probabilities(torch.full((3,), base_p)).numpy()
            evidence_2T = np.stack([labels[runs, hour], predicted[runs, hour] * share * rows])
            level.follow(torch.from_numpy(evidence_2T), (hour + 1) * DAY_MS // 24, drift_T=torch.full((3,), 0.4))
    ratio = predicted.mean(axis=0).reshape(8, 24).mean(axis=1) / truth.reshape(8, 24).mean(axis=1)
    assert ratio[:4] == pytest.approx(1.0, abs=0.08)
    assert 1.1 < ratio[4] < 1.5
    assert ratio[5:] == pytest.approx(1.0, abs=0.08)
    sums = predicted.sum(axis=1) * share * rows / labels.sum(axis=1)  # in each run, against what it has seen
    assert np.abs(sums - 1.0).max() < 0.06


def test_an_hour_of_many_labels_moves_a_level_less_than_its_count_alone_would() -> None:
    """Twice the rate for an hour of a common behaviour is the hour's; the same of a rare one, day after day, is not."""
    common, rare = Level(), Level()
    common.follow(torch.tensor([[800.0] * 3, [400.0] * 3]), DAY_MS, drift_T=torch.full((3,), 0.4))
    assert float(common.shift_T[0]) == pytest.approx(FIRST_VARIANCE / SWING**2, rel=0.2)
    for _ in range(200):
        rare.follow(torch.tensor([[4.0] * 3, [2.0] * 3]), DAY_MS, drift_T=torch.full((3,), 0.4))
    assert float(rare.shift_T[0]) > 2 * float(common.shift_T[0])


def test_certainty_grows_with_evidence_and_fades_with_time() -> None:
    level = Level()
    level.follow(torch.tensor([[100.0] * 3, [100.0] * 3]), 10 * DAY_MS, drift_T=torch.full((3,), 0.1))
    after = float(level.variance_T[0])
    assert after == pytest.approx(FIRST_VARIANCE / (1 + FIRST_VARIANCE * 100 / (1 + 100 * SWING**2)))
    level.follow(torch.zeros(2, 3), 12 * DAY_MS, drift_T=torch.full((3,), 0.1))
    assert float(level.variance_T[0]) == pytest.approx(after + 0.02)
    level.follow(
        torch.zeros(2, 3), 11 * DAY_MS, drift_T=torch.full((3,), 0.1)
    )  # older rows than before: no time has passed
    assert float(level.variance_T[0]) == pytest.approx(after + 0.02)
    assert int(level.newest_ms) == 12 * DAY_MS


def test_a_task_without_a_drift_keeps_the_networks_level() -> None:
    level = Level()
    level.follow(torch.tensor([[50.0] * 3, [100.0] * 3]), DAY_MS, drift_T=torch.tensor([0.0, 0.1, 0.4]))
    assert level.shift_T[0] == 0.0
    assert (level.shift_T[1:] < -0.01).all()


def test_a_shift_has_an_end() -> None:
    level = Level()
    for day in range(50):
        level.follow(torch.tensor([[0.0] * 3, [500.0] * 3]), day * DAY_MS, drift_T=torch.ones(3))
    assert level.shift_T.tolist() == [-LARGEST_SHIFT] * 3
