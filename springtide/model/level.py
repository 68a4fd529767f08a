"""A level per task that follows its base rate: a random walk in log-odds, filtered on the earliest honest evidence.

A network learns a new base rate in step with the labels, and these speak for the past: on the day after a change most
positives still belong to impressions from before it. The first rows of the impressions do not wait. Of the first
rows learned since the last update let y be the positives that have come, and mu = sum p F what the model expected,
with F = 1 for closed labels and otherwise the share that comes within the observation window. The task's log-odds
are shifted by s, with dmu/ds = mu for rare behaviours. y has variance mu + (c mu)^2: Poisson, and a swing of the hour
that is gone with it, c of the rate. An extended Kalman filter (Kalman 1960; West and Harrison 1997, ch. 14, for
counts) with a walk of variance q per day then reads, with m = mu / (1 + c^2 mu),

    V <- V + q t        s <- s + V (m / mu) (y - mu) / (1 + V m)        V <- V / (1 + V m)

It adds up residuals, so what it predicts too much in one hour it pays back: the sum of predictions stays near the sum
of labels whatever the network does. Shapes: B rows, T tasks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from springtide.contracts.tasks import TASKS
from springtide.model.graph import LogProbabilities
from springtide.model.targets import CLOSED, OPEN, Targets

FIRST_VARIANCE = 0.05
"""V before any evidence: a fresh network's levels are wrong by some 20 %."""
SWING = 0.5
"""c: how far the rate of an hour may be from its day's."""
LARGEST_SHIFT = 2.0
"""What lies beyond is no drift of a base rate."""
DAY_MS = 86_400_000


class Level(nn.Module):
    """The shifts and how sure they are; buffers, so that they travel in checkpoints and bundles."""

    shift_T: Tensor
    variance_T: Tensor
    newest_ms: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift_T", torch.zeros(len(TASKS)))
        self.register_buffer("variance_T", torch.full((len(TASKS),), FIRST_VARIANCE))
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
    def follow(self, evidence_2T: Tensor, newest_ms: int, drift_T: Tensor) -> None:
        """Take in what `early_evidence` summed up over all ranks.

        Args:
            evidence_2T: positives y and expected positives mu.
            newest_ms: newest impression among the rows, event time.
            drift_T: standard deviation of a day's walk in log-odds, the root of q; where it is 0 nothing moves.
        """
        seen_T, expected_T = evidence_2T.to(torch.float32)
        days = max(0, newest_ms - int(self.newest_ms)) / DAY_MS if int(self.newest_ms) else 0.0
        self.newest_ms.clamp_(min=newest_ms)
        self.variance_T += drift_T * drift_T * days
        share_T = 1.0 / (1.0 + SWING * SWING * expected_T)  # m / mu
        certainty_T = 1.0 + self.variance_T * share_T * expected_T
        self.shift_T += (drift_T > 0.0) * self.variance_T * share_T * (seen_T - expected_T) / certainty_T
        self.shift_T.clamp_(-LARGEST_SHIFT, LARGEST_SHIFT)
        self.variance_T /= certainty_T


def early_evidence(targets: Targets, first_phase: int, p_NT: Tensor, arrived_NT: Tensor) -> Tensor:
    """Return positives and expected positives of the impressions' first rows, (2, T).

    Args:
        targets: of N rows.
        first_phase: code in targets.py of the rows that tell each impression for the first time.
        p_NT: the probability before the rows were learned.
        arrived_NT: F of each row; (T,) where it is one for all.
    """
    maturity_NT = torch.from_numpy(targets.maturity_NT)
    first_N1 = torch.from_numpy(targets.phase_N == first_phase).unsqueeze(1)
    weights_NT = ((maturity_NT != OPEN) & first_N1) * torch.from_numpy(targets.sampling_N).unsqueeze(1)
    share_NT = torch.where(maturity_NT == CLOSED, torch.ones_like(p_NT), arrived_NT.expand_as(p_NT))
    return torch.stack([torch.from_numpy(targets.labels_NT) * weights_NT, p_NT * share_NT * weights_NT]).sum(dim=1)
