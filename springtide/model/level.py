"""A level per task that follows its base rate: a random walk in log-odds, filtered on every label as it comes.

A network learns a new base rate in step with the labels, and these speak for the past: on the day after a change most
positives still belong to impressions from before it. So positives are counted by the hour of their impression. Of the
impressions of hour h let M be the sum of p when they were learned, freed of the shift of that moment, and y the
positives that have come by now, of which F(age) come by this age. The task's log-odds are shifted by s, a random walk
of variance q per day, and for rare behaviours y has mean mu = M F e^s and variance mu + (c mu)^2: Poisson, and a swing
of the hour that is gone with it, c of the rate. An extended Kalman filter (Kalman 1960; West and Harrison 1997, ch. 14,
for counts) reads hour after hour, with m = mu / (1 + c^2 mu),

    V <- V + q / 24        s <- s + V (m / mu) (y - mu) / (1 + V m)        V <- V / (1 + V m)

At each update it reads the last HOURS hours anew with what has come since: so a late label moves the level of its own
hour and, through it, of now. Older hours are closed into where the reading starts. Shapes: B and N rows, T tasks,
K = HOURS, the newest first.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import HOUR_MS
from springtide.model.graph import LogProbabilities
from springtide.model.targets import CORRECTED, OPEN, Targets

HOURS: Final = 48
"""K: labels later than this move no level; few do."""
FIRST_VARIANCE = 0.05
"""V before any evidence: a fresh network's levels are wrong by some 20 %."""
SWING = 0.25
"""c: how far the rate of an hour may be from its day's."""
LARGEST_SHIFT = 2.0
"""What lies beyond is no drift of a base rate."""
DAY_HOURS = 24

Doubles = NDArray[np.float64]


class Level(nn.Module):
    """The shifts and what they rest on; buffers, so that they travel in checkpoints and bundles."""

    shift_T: Tensor
    """s of now."""
    variance_T: Tensor
    """V of now."""
    seen_KT: Tensor
    """y of the hours before now."""
    predicted_KT: Tensor
    """M."""
    start_2T: Tensor
    """s and V before these hours."""
    newest_ms: Tensor
    """Newest impression, event time; 0 before any."""

    def __init__(self) -> None:
        super().__init__()
        tasks = len(TASKS)
        self.register_buffer("shift_T", torch.zeros(tasks))
        self.register_buffer("variance_T", torch.full((tasks,), FIRST_VARIANCE))
        self.register_buffer("seen_KT", torch.zeros(HOURS, tasks))
        self.register_buffer("predicted_KT", torch.zeros(HOURS, tasks))
        self.register_buffer("start_2T", torch.stack([self.shift_T, self.variance_T]))
        self.register_buffer("newest_ms", torch.zeros(1, dtype=torch.int64))

    def forward(self, output: LogProbabilities) -> LogProbabilities:
        """Shift each task's log-odds."""
        logits_BT = output.logp_BT - output.log1mp_BT + self.shift_T
        return LogProbabilities(functional.logsigmoid(logits_BT), functional.logsigmoid(-logits_BT))

    def probabilities(self, p_BT: Tensor) -> Tensor:
        """Shift probabilities: odds times e^s."""
        odds_T = self.shift_T.exp()
        return p_BT * odds_T / (1.0 + p_BT * (odds_T - 1.0))

    @torch.no_grad()
    def follow(self, evidence_2KT: Tensor, newest_ms: int, arrived_KT: Tensor, drift_T: Tensor) -> None:
        """Take in what `evidence` summed up over all ranks.

        Args:
            evidence_2KT: positives, and predictions with the present shift, by hours before the hour of `newest_ms`.
            newest_ms: newest impression among the rows, event time.
            arrived_KT: F, the share of the labels that come within the observation window and k hours more; NaN while
                unknown: then the counts are kept and nothing moves.
            drift_T: standard deviation of a day's walk in log-odds, the root of q; where it is 0 nothing moves.
        """
        arrived, walk = arrived_KT.double().numpy(), drift_T.double().numpy() ** 2 / DAY_HOURS
        hours = newest_ms // HOUR_MS - int(self.newest_ms) // HOUR_MS if int(self.newest_ms) else 0
        self._close_hours(hours, arrived[-1], walk)
        behind = max(0, -hours)
        kept = max(0, HOURS - behind)
        self.seen_KT[behind:] += evidence_2KT[0, :kept]
        self.predicted_KT[behind:] += evidence_2KT[1, :kept] * (-self.shift_T).exp()
        self.newest_ms.clamp_(min=newest_ms)
        self._read(_at_ages(arrived, int(self.newest_ms)), walk)

    def _close_hours(self, hours: int, arrived_T: Doubles, walk_T: Doubles) -> None:
        """Let the hours pass: what falls out moves the start of the reading."""
        start = _split(self.start_2T)
        for _ in range(min(hours, HOURS)):
            start = _step(start, self.seen_KT[-1].numpy(), self.predicted_KT[-1].numpy() * arrived_T, walk_T)
            for past_KT in (self.seen_KT, self.predicted_KT):
                past_KT.copy_(past_KT.roll(1, dims=0))
                past_KT[0] = 0.0
        shift_T, variance_T = start
        self.start_2T.copy_(torch.from_numpy(np.stack([shift_T, variance_T + walk_T * max(0, hours - HOURS)])))

    def _read(self, arrived_KT: Doubles, walk_T: Doubles) -> None:
        """Filter the hours from the oldest to the newest."""
        seen_KT, expected_KT = self.seen_KT.double().numpy(), self.predicted_KT.double().numpy() * arrived_KT
        now = _split(self.start_2T)
        for hour in reversed(range(HOURS)):
            now = _step(now, seen_KT[hour], expected_KT[hour], walk_T)
        self.shift_T.copy_(torch.from_numpy(now[0]))
        self.variance_T.copy_(torch.from_numpy(now[1]))


def _split(state_2T: Tensor) -> tuple[Doubles, Doubles]:
    shift_T, variance_T = state_2T.double().numpy()
    return shift_T, variance_T


def _step(
    state: tuple[Doubles, Doubles], seen_T: Doubles, unshifted_T: Doubles, walk_T: Doubles
) -> tuple[Doubles, Doubles]:
    """Return s and V after one hour more; `unshifted` is M F."""
    shift_T, variance_T = state
    variance_T = variance_T + walk_T
    unknown_T = np.isnan(unshifted_T)
    seen_T, unshifted_T = np.where(unknown_T, 0.0, seen_T), np.where(unknown_T, 0.0, unshifted_T)
    expected_T = unshifted_T * np.exp(shift_T)
    share_T = 1.0 / (1.0 + SWING * SWING * expected_T)  # m / mu
    certainty_T = 1.0 + variance_T * share_T * expected_T
    moved_T = shift_T + (walk_T > 0.0) * variance_T * share_T * (seen_T - expected_T) / certainty_T
    return np.minimum(np.maximum(moved_T, -LARGEST_SHIFT), LARGEST_SHIFT), variance_T / certainty_T


def _at_ages(arrived_KT: Doubles, newest_ms: int) -> Doubles:
    """Return F of each hour's impressions, the mean one standing for all, K by T."""
    begun = newest_ms % HOUR_MS / HOUR_MS
    ages_K = np.concatenate([[begun / 2.0], begun + np.arange(HOURS - 1) + 0.5])
    hours_K = np.arange(HOURS)
    return np.stack([np.interp(ages_K, hours_K, arrived_T) for arrived_T in arrived_KT.T], axis=1)


def evidence(targets: Targets, times_ms_N: NDArray[np.int64], newest_ms: int, first_phase: int, p_NT: Tensor) -> Tensor:
    """Return positives and predictions by hours before the hour of `newest_ms`, (2, K, T); what is older is left out.

    A prediction counts with the row that tells its impression for the first time, a positive with this row or the
    corrected row that brings it.

    Args:
        targets: of N rows.
        times_ms_N: of the impressions.
        newest_ms: no time is later.
        first_phase: code in targets.py of the rows that tell each impression for the first time.
        p_NT: the probability before the rows were learned.
    """
    known_NT = (targets.maturity_NT != OPEN) * targets.sampling_N[:, np.newaxis]
    first_N1 = (targets.phase_N == first_phase)[:, np.newaxis]
    corrected_N1 = (targets.phase_N == CORRECTED)[:, np.newaxis]
    hours_N = newest_ms // HOUR_MS - times_ms_N // HOUR_MS
    inside_N = hours_N < HOURS
    sums_2KT = np.zeros((2, HOURS, len(TASKS)))
    np.add.at(sums_2KT[0], hours_N[inside_N], (targets.labels_NT * known_NT * (first_N1 | corrected_N1))[inside_N])
    np.add.at(sums_2KT[1], hours_N[inside_N], (p_NT.numpy() * known_NT * first_N1)[inside_N])
    return torch.from_numpy(sums_2KT)
