"""Bar 25 of the label joiner: on the real joiner's rows of a known delay law, methods learn in their known order."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from benchmarks.learning.delayed_feedback import GAP_SHARE, closed
from benchmarks.learning.delayed_learner import LEARNERS, Figures, learn, purchase_rows
from benchmarks.learning.delayed_stream import LABELS, Law, Stream, make_stream
from springtide.model.delayed.phases import PHASES, Method
from springtide.model.delayed.registry import BY_NAME
from springtide.runtime.settings import milliseconds

SEEDS = (0, 1, 2)
HOURS = 84


@cache
def stream(seed: int) -> Stream:
    return make_stream(seed, slates_per_hour=40, hours=HOURS, law=Law())


@pytest.mark.parametrize("seed", SEEDS)
def test_bar_25_the_oracle_is_better_than_es_dfm_and_es_dfm_than_vanilla(seed: int) -> None:
    torch.set_num_threads(1)
    found: dict[str, list[Figures]] = {
        name: [learn(stream(seed), LEARNERS[name], judge_from=HOURS // 2)] for name in ("oracle", "es-dfm", "vanilla")
    }
    ((oracle,), (es_dfm,), (vanilla,)) = found.values()
    assert oracle.nll < es_dfm.nll < vanilla.nll, f"seed {seed}: {found}"
    assert closed(found, "es-dfm")[0] >= GAP_SHARE, f"seed {seed}: {found}"
    assert es_dfm.calibration == pytest.approx(1.0, abs=0.05), f"seed {seed}: {found}"
    assert vanilla.calibration < 0.9, f"seed {seed}: {found}"  # there is something to correct


def test_balanced_stays_where_the_truth_is_when_traffic_swings() -> None:
    torch.set_num_threads(1)
    seed = SEEDS[0]
    tides = make_stream(seed, slates_per_hour=20, hours=HOURS, law=Law(spread=0.0, tide=0.9))
    plain, balanced = (
        learn(tides, LEARNERS[f"{name}, one F"], judge_from=HOURS // 2) for name in ("es-dfm", "balanced")
    )
    assert balanced.calibration == pytest.approx(1.0, abs=0.05), f"seed {seed}: {balanced}"
    assert balanced.swing < plain.swing / 2.0, f"seed {seed}: {balanced} {plain}"
    assert balanced.nll < plain.nll, f"seed {seed}: {balanced} {plain}"


@pytest.mark.parametrize(("method", "telling"), [("defer", 2), ("wait", 1)])
def test_bar_25_rows_keep_the_true_distribution_of_features(method: Method, telling: int) -> None:
    counts_N = times_believed(stream(0), method)
    assert (counts_N == telling).all()
    assert feature_shift(stream(0), counts_N) < 0.01


def test_bar_25_repeated_positives_bend_the_distribution_of_features() -> None:
    assert feature_shift(stream(0), times_believed(stream(0), "es-dfm")) > 0.05


def test_the_stream_follows_its_law() -> None:
    known = stream(0)
    finals = [sample for samples in known.hours for sample in samples if sample.phase == "final"]
    number_R = np.array([int(item) for sample in finals for item in sample.item_ids])
    delay_R = np.array([delay for sample in finals for delay in sample.delays_ms["purchase"]])
    bought_R, early_R = delay_R >= 0, (delay_R >= 0) & (delay_R <= milliseconds(LABELS.observed_age))
    assert sorted(number_R) == list(range(len(known.truth_N)))
    truth_R, share_R = known.truth_N[number_R], known.early_N[number_R]
    for part in (share_R < 0.2, (share_R >= 0.2) & (share_R < 0.6), share_R >= 0.6):
        for seen_R, expected_R in ((bought_R, truth_R), (early_R, truth_R * share_R)):
            expected = expected_R[part].sum()
            assert abs(seen_R[part].sum() - expected) < 4 * expected**0.5


def times_believed(known: Stream, method: Method) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How often each item's purchase label is believed over the whole stream, positives and negatives alike."""
    rows = purchase_rows([row for rows in known.hours for row in rows if row.phase in PHASES[method]])
    maturity, told = torch.from_numpy(rows.targets.maturity_NT), torch.from_numpy(rows.targets.told_NT)
    believed_R = BY_NAME[method].believed(maturity, told).squeeze(1).numpy()
    return np.bincount(rows.item_R[believed_R], minlength=len(known.truth_N))


def feature_shift(known: Stream, counts_N: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """Largest difference of a feature's mean, of rows from items, in standard deviations."""
    varied_NF = known.x_NF[:, :-1]
    means_F = (counts_N[:, None] * varied_NF).sum(axis=0) / counts_N.sum()
    return float((np.abs(means_F - varied_NF.mean(axis=0)) / varied_NF.std(axis=0)).max())
