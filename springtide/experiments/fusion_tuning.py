"""Fusion weights by Bayesian optimisation: Gaussian processes, Thompson sampling, guardrail floors.

After Agarwal et al. 2018 ("Online parameter selection for web-based ranking problems"). Every metric, the objective
and each guardrail, is a smooth function of the log weights, seen through noise of known size: an arm's mean and its
standard error. One Gaussian process (Rasmussen and Williams 2006, ch. 2; scikit-learn's) per metric gives what is
believed of weights not tried. A proposal draws one function of each metric from that belief and takes the weights that
would be best if the draws were true (Thompson 1933): weights are tried as often as they are likely to be best, so
traffic is not spent where the answer is known. A draw in which a guardrail falls below its floor rules its weights out.

A formula that only orders items is not changed by a common factor, so leave one weight at a constant and search the
others. Shapes: R trials, C candidates, D weights, M metrics, the objective first.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

Floats = NDArray[np.float64]

_AMPLITUDE = (0.05, 20.0)
"""Bounds of a process's variance over that of the trials' means."""
_LENGTH = (0.1, 5.0)
"""Bounds of the length over which a metric changes, in widths of the searched range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is searched, and under which floors."""

    low: tuple[float, ...]
    """Least weight of each, above 0; D."""
    high: tuple[float, ...]
    """Greatest weight of each, above the least; D. The search is even in the logarithm."""
    floors: tuple[float, ...] = ()
    """Least value of each guardrail metric; M - 1."""
    first: int = 5
    """Trials drawn evenly before anything is believed."""
    candidates: int = 256
    """Weights that a proposal chooses among."""
    sureness: float = 0.9
    """Probability with which recommended weights must keep each floor, 0.5 to below 1."""

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: names the rule that is broken.
        """
        ordered = len(self.low) == len(self.high) > 0
        if not ordered or not all(0.0 < low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(
                f"search: expected 0 < low < high for each weight, got {self.low} and {self.high}; mend it"
            )
        if self.first < 2 or self.candidates < 2 or not 0.5 <= self.sureness < 1.0:
            got = f"{self.first}, {self.candidates}, {self.sureness}"
            raise ValueError(f"search: expected first and candidates >= 2, sureness 0.5 to below 1, got {got}; mend it")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What one arm's traffic said."""

    weights: tuple[float, ...]
    """Served; D."""
    means: tuple[float, ...]
    """Of the objective and each guardrail, more is better; M."""
    errors: tuple[float, ...]
    """Their standard errors, above 0; M."""


def propose(search: Search, trials: Sequence[Trial], random: np.random.Generator) -> tuple[float, ...]:
    """Return weights to serve next.

    Where the draws leave no weights that keep all floors, those are taken that miss them least.

    Raises:
        ValueError: a trial does not fit the search.
    """
    places_CD = random.random((search.candidates, len(search.low)))
    if len(trials) < search.first:
        return _weights(search, places_CD[0])
    _check(search, trials)
    beliefs = _beliefs(search, trials)
    draws_MC = np.stack([belief.draw(places_CD, random) for belief in beliefs])
    missed_C = np.zeros(search.candidates)
    for guard_C, floor, belief in zip(draws_MC[1:], search.floors, beliefs[1:], strict=True):
        missed_C += np.maximum(floor - guard_C, 0.0) / belief.scale
    allowed_C = missed_C == 0.0
    if not allowed_C.any():
        return _weights(search, places_CD[int(missed_C.argmin())])
    return _weights(search, places_CD[int(np.where(allowed_C, draws_MC[0], -np.inf).argmax())])


def recommend(search: Search, trials: Sequence[Trial], random: np.random.Generator) -> tuple[float, ...] | None:
    """Return the weights with the best expected objective among those that surely enough keep every floor.

    Candidates are the weights tried and as many more as a proposal has. None: no weights are sure enough to keep the
    floors, so keep serving what you serve.

    Raises:
        ValueError: a trial does not fit the search, or there are fewer than two.
    """
    if len(trials) < 2:
        raise ValueError(f"recommend: expected 2 trials or more, got {len(trials)}; serve some first")
    _check(search, trials)
    tried_RD = _places(search, trials)
    places_CD = np.concatenate([tried_RD, random.random((search.candidates, len(search.low)))])
    objective, *guards = _beliefs(search, trials)
    allowed_C = np.ones(len(places_CD), np.bool_)
    for guard, floor in zip(guards, search.floors, strict=True):
        mean_C, deviation_C = guard.expect(places_CD)
        allowed_C &= norm.cdf((mean_C - floor) / np.maximum(deviation_C, 1e-12)) >= search.sureness
    if not allowed_C.any():
        return None
    expected_C, _ = objective.expect(places_CD)
    return _weights(search, places_CD[int(np.where(allowed_C, expected_C, -np.inf).argmax())])


@dataclass(frozen=True, slots=True)
class _Belief:
    """One metric's process, over standardised values."""

    process: Any
    centre: float
    scale: float

    def expect(self, places_CD: Floats) -> tuple[Floats, Floats]:
        mean_C, deviation_C = self.process.predict(places_CD, return_std=True)
        return self.centre + self.scale * mean_C, self.scale * deviation_C

    def draw(self, places_CD: Floats, random: np.random.Generator) -> Floats:
        seed = int(random.integers(2**31))
        drawn_C: Floats = self.process.sample_y(places_CD, random_state=seed)[:, 0]
        return self.centre + self.scale * drawn_C


def _beliefs(search: Search, trials: Sequence[Trial]) -> list[_Belief]:
    places_RD = _places(search, trials)
    means_RM, errors_RM = np.array([trial.means for trial in trials]), np.array([trial.errors for trial in trials])
    return [_fit(places_RD, means_R, errors_R) for means_R, errors_R in zip(means_RM.T, errors_RM.T, strict=True)]


def _fit(places_RD: Floats, means_R: Floats, errors_R: Floats) -> _Belief:
    centre, scale = float(means_R.mean()), float(means_R.std()) or float(errors_R.mean())
    lengths = [0.5] * places_RD.shape[1]
    kernel = ConstantKernel(1.0, _AMPLITUDE) * Matern(lengths, [_LENGTH] * len(lengths), nu=2.5)
    process = GaussianProcessRegressor(kernel, alpha=np.square(errors_R / scale), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: a weight that hardly matters
        process.fit(places_RD, (means_R - centre) / scale)
    return _Belief(process, centre, scale)


def _places(search: Search, trials: Sequence[Trial]) -> Floats:
    """Return where the trials lie in the searched range, 0 to 1 in the logarithm, (R, D)."""
    low_D, high_D = np.log(search.low), np.log(search.high)
    places_RD: Floats = (np.log([trial.weights for trial in trials]) - low_D) / (high_D - low_D)
    return places_RD


def _weights(search: Search, place_D: Floats) -> tuple[float, ...]:
    low_D, high_D = np.log(search.low), np.log(search.high)
    return tuple(np.exp(low_D + place_D * (high_D - low_D)).tolist())


def _check(search: Search, trials: Sequence[Trial]) -> None:
    metrics = 1 + len(search.floors)
    for trial in trials:
        sizes = (len(trial.weights), len(trial.means), len(trial.errors))
        if sizes != (len(search.low), metrics, metrics) or min(*trial.weights, *trial.errors) <= 0.0:
            wanted = f"{len(search.low)} weights, {metrics} means and errors, weights and errors above 0"
            raise ValueError(f"trial: expected {wanted}, got {trial}; mend it")
