"""The levels follow base rates: on every label as it comes, and no shift changes nothing."""

import numpy as np
import pytest
import torch

from springtide.contracts.topics import DAY_MS, HOUR_MS
from springtide.model.graph import LogProbabilities
from springtide.model.level import FIRST_VARIANCE, HOURS, LARGEST_SHIFT, SWING, Level, evidence
from springtide.model.targets import CLOSED, CORRECTED, OBSERVED, OPEN, WHOLE, Targets

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


def test_evidence_is_first_rows_and_late_positives_by_the_hour_of_the_impression() -> None:
    targets = Targets(
        labels_NT=np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32),
        maturity_NT=np.array(
            [[CLOSED, OBSERVED, OPEN], [CLOSED, OBSERVED, OBSERVED], [OPEN, OPEN, OBSERVED], [CLOSED] * 3], np.int8
        ),
        phase_N=np.array([WHOLE, WHOLE, CORRECTED, WHOLE], np.int8),
        told_NT=np.zeros((4, 3), np.bool_),
        sampling_N=np.array([1, 5, 1, 1], np.float32),  # of rows like the second one in five was kept
        price_N=np.zeros(4, np.float32),
    )
    newest_ms = 100 * HOUR_MS + 1
    times_N = np.array([newest_ms, newest_ms - 2, 98 * HOUR_MS, newest_ms - (HOURS + 1) * HOUR_MS])
    seen_KT, predicted_KT = evidence(targets, times_N, newest_ms, WHOLE, torch.full((4, 3), 0.2))
    assert seen_KT[:3].tolist() == [[1.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 1.0]]
    assert predicted_KT[:2].numpy() == pytest.approx(np.array([[0.2, 0.2, 0.0], [1.0, 1.0, 1.0]]))
    assert not seen_KT[3:].any()
    assert not predicted_KT[2:].any()


def hourly(seen: float, predicted: float) -> torch.Tensor:
    """All in the newest hour, the same for all tasks."""
    evidence_2KT = torch.zeros(2, HOURS, 3)
    evidence_2KT[0, 0], evidence_2KT[1, 0] = seen, predicted
    return evidence_2KT


def test_a_rate_that_halves_is_followed() -> None:
    """250 labels a day, half of them early, the rest within a day; 9 runs of 8 days; the rate halves after 4."""
    print(f"seed {SEED}")
    rng, base_p, rows, hours, runs = np.random.default_rng(SEED), 0.005, 50_000 // 24, 24 * 8, 9
    truth = np.where(np.arange(hours) < 24 * 4, base_p, base_p / 2)
    arrived_K = 1 - 0.5 * np.exp(-np.arange(HOURS) / 8)
    arrived_K[24:] = 1.0
    delays = np.diff(arrived_K, prepend=0.0)  # share that comes k hours after the first row
    labels = rng.multinomial(rng.binomial(rows, truth, (runs, hours)), delays)  # (runs, hours, K)
    predicted = np.zeros((runs, hours))
    for run in range(0, runs, 3):
        level = Level()
        for hour in range(hours):
            p_3 = level.probabilities(torch.full((3,), base_p)).numpy()
            predicted[run : run + 3, hour] = p_3
            evidence_2KT = torch.zeros(2, HOURS, 3)
            ago = np.arange(min(HOURS, hour + 1))
            evidence_2KT[0, ago] = torch.from_numpy(labels[run : run + 3, hour - ago, ago].T).float()
            evidence_2KT[1, 0] = torch.from_numpy(p_3 * rows)
            level.follow(
                evidence_2KT,
                (hour + 1) * HOUR_MS - 1,
                torch.from_numpy(arrived_K).unsqueeze(1).expand(-1, 3),
                drift_T=torch.full((3,), 0.4),
            )
    ratio = predicted.mean(axis=0).reshape(8, 24).mean(axis=1) / truth.reshape(8, 24).mean(axis=1)
    assert ratio[:4] == pytest.approx(1.0, abs=0.06)
    assert 1.1 < ratio[4] < 1.4
    assert ratio[5:] == pytest.approx(1.0, abs=0.06)


def test_a_late_label_counts_with_its_own_hour_whatever_the_order() -> None:
    arrived_KT, drift_T = torch.linspace(0.5, 1.0, HOURS).unsqueeze(1).expand(-1, 3), torch.full((3,), 0.4)
    predicted, late = torch.zeros(2, HOURS, 3), torch.zeros(2, HOURS, 3)
    predicted[1, :10] = 20.0
    predicted[0, :10] = 10.0
    late[0, 5] = 6.0
    levels = [Level(), Level()]
    for part in (predicted, late):
        levels[0].follow(part, 99 * HOUR_MS, arrived_KT, drift_T)
    for hour in (94, 99):  # the same, told by the end of each part of the hours
        part = torch.zeros(2, HOURS, 3)
        if hour == 94:
            part[:, :5] = predicted[:, 5:10]
        else:
            part[:, :5] = predicted[:, :5]
            part[:, 5] = late[:, 5]
        part[1] *= levels[1].shift_T.exp()  # M is freed of the shift it was made with
        levels[1].follow(part, hour * HOUR_MS, arrived_KT, drift_T)
    torch.testing.assert_close(levels[0].shift_T, levels[1].shift_T, atol=1e-3, rtol=0.0)  # five hours more had passed
    torch.testing.assert_close(levels[0].seen_KT, levels[1].seen_KT)


def test_hours_that_fall_out_move_the_start_of_the_reading() -> None:
    arrived_KT, drift_T = torch.ones(HOURS, 3), torch.full((3,), 0.3)
    level = Level()
    level.follow(hourly(100.0, 50.0), 10 * DAY_MS, arrived_KT, drift_T)
    level.follow(torch.zeros(2, HOURS, 3), 10 * DAY_MS + (HOURS - 1) * HOUR_MS, arrived_KT, drift_T)
    inside = level.shift_T.clone(), level.variance_T.clone()
    assert (inside[0] > 0.3).all()
    level.follow(torch.zeros(2, HOURS, 3), 10 * DAY_MS + HOURS * HOUR_MS, arrived_KT, drift_T)
    assert not level.seen_KT.any()
    torch.testing.assert_close(level.shift_T, inside[0])
    torch.testing.assert_close(level.variance_T, inside[1] + 0.09 / 24)
    level.follow(torch.zeros(2, HOURS, 3), 20 * DAY_MS, arrived_KT, drift_T)
    torch.testing.assert_close(level.variance_T, inside[1] + 0.09 * (10 - (HOURS - 1) / 24))


def test_an_hour_of_many_labels_moves_a_level_less_than_its_count_alone_would() -> None:
    """Twice the rate for an hour of a common behaviour is the hour's; of a rare one, hour after hour, it is not."""
    common, rare, still_T = Level(), Level(), torch.full((3,), 1e-6)
    common.follow(hourly(8_000.0, 4_000.0), DAY_MS, torch.ones(HOURS, 3), still_T)
    assert float(common.shift_T[0]) == pytest.approx(FIRST_VARIANCE / (SWING**2 + FIRST_VARIANCE), rel=0.05)
    for hour in range(40):
        predicted = 2.0 * float(rare.shift_T[0].exp())
        rare.follow(hourly(4.0, predicted), DAY_MS + hour * HOUR_MS, torch.ones(HOURS, 3), still_T)
    assert float(rare.shift_T[0]) > float(common.shift_T[0])


def test_older_rows_than_before_take_no_time() -> None:
    level, ones_KT, drift_T = Level(), torch.ones(HOURS, 3), torch.full((3,), 0.1)
    level.follow(hourly(100.0, 100.0), 12 * DAY_MS, ones_KT, drift_T)
    after = level.variance_T.clone()
    level.follow(torch.zeros(2, HOURS, 3), 11 * DAY_MS, ones_KT, drift_T)
    torch.testing.assert_close(level.variance_T, after)
    assert int(level.newest_ms) == 12 * DAY_MS
    level.follow(hourly(7.0, 0.0), 11 * DAY_MS, ones_KT, drift_T)
    assert level.seen_KT[24].tolist() == [7.0] * 3


def test_a_task_without_a_drift_keeps_the_networks_level() -> None:
    level = Level()
    level.follow(hourly(50.0, 100.0), DAY_MS, torch.ones(HOURS, 3), torch.tensor([0.0, 0.1, 0.4]))
    assert level.shift_T[0] == 0.0
    assert (level.shift_T[1:] < -0.01).all()


def test_while_the_share_that_comes_is_unknown_counts_are_kept_and_nothing_moves() -> None:
    level, told, drift_T = Level(), Level(), torch.full((3,), 0.3)
    level.follow(hourly(80.0, 100.0), DAY_MS, torch.full((HOURS, 3), torch.nan), drift_T)
    assert not level.shift_T.any()
    for each in (level, told):
        each.follow(hourly(0.0, 0.0) if each is level else hourly(80.0, 100.0), DAY_MS, torch.ones(HOURS, 3), drift_T)
    assert (level.shift_T < -0.05).all()
    torch.testing.assert_close(level.shift_T, told.shift_T)


def test_a_shift_has_an_end() -> None:
    level = Level()
    for day in range(50):
        level.follow(hourly(0.0, 500.0), day * DAY_MS, torch.ones(HOURS, 3), torch.ones(3))
    assert level.shift_T.tolist() == [-LARGEST_SHIFT] * 3
