"""Rank 0's judge: scores the last closed window with whole versions, as serving would, and compares them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springtide.contracts.errors import BundleError
from springtide.contracts.tasks import TASKS
from springtide.model.inputs import columns_from_samples
from springtide.model.lineage import read_version
from springtide.model.scorer import Scorer
from springtide.model.state import ModelState
from springtide.model.targets import targets_from_samples
from springtide.quality.task_quality import QualityReport, TaskQuality
from trainer.closed_slates import ClosedSlate
from trainer.config import TrainerConfig
from trainer.guard import HarmfulUpdateError, harm


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a publication is compared with."""

    chain: str
    served: str
    """The version announced last; empty: nothing is compared."""
    proven: str
    """The last that the guard trusts; what is served is compared with it. May be the one served."""


class Judge:
    """Keeps the versions of the trial at hand: one more whole state per chain than what is served.

    Args:
        root: of all bundles.
        config: the bounds.
    """

    def __init__(self, root: Path, config: TrainerConfig) -> None:
        self._root, self._config = root, config
        self._states: dict[str, dict[str, ModelState]] = {}
        self._trial: Trial | None = None
        self._slates: list[ClosedSlate] = []

    def open(self, trial: Trial, slates: Sequence[ClosedSlate]) -> str:
        """Begin a publication; returns in what the served version is worse than the proven one, or an empty text.

        A version that cannot be read any more is no rival.
        """
        self._trial, self._slates = trial, list(slates)
        served, proven = self._state(trial.served), self._state(trial.proven)
        kept = {state.manifest.version: state for state in (served, proven) if state is not None}
        self._states[trial.chain] = kept
        if served is None or proven is None or trial.served == trial.proven:
            return ""
        return harm(self._reports(served), self._reports(proven), trial.proven, self._config)

    def admit(self, state: ModelState) -> dict[str, float]:
        """Compare a candidate with what is served; returns its figures on the window, such as `click/closed_ne`.

        Raises:
            HarmfulUpdateError: it is worse.
        """
        if self._trial is None or self._trial.chain != state.manifest.chain:
            return {}
        served = self._state(self._trial.served)
        if served is None or not self._slates:
            return {}
        reports = self._reports(state)
        if worse := harm(reports, self._reports(served), self._trial.served, self._config):
            raise HarmfulUpdateError(worse)
        return closed_figures(reports, self._config.guard_labels)

    def published(self, state: ModelState) -> None:
        """Keep what is published now, so that it need not be read again."""
        self._states.setdefault(state.manifest.chain, {})[state.manifest.version] = state

    def _state(self, version: str) -> ModelState | None:
        if not version or self._trial is None:
            return None
        known = self._states.get(self._trial.chain, {}).get(version)
        try:
            return known or read_version(self._root / self._trial.chain, version)
        except BundleError:
            return None

    def _reports(self, state: ModelState) -> dict[str, QualityReport]:
        return closed_reports(state, self._slates)


def closed_reports(state: ModelState, slates: Sequence[ClosedSlate]) -> dict[str, QualityReport]:
    """Return a version's figures per task on slates with closed labels."""
    qualities = {task: TaskQuality() for task in TASKS}
    if slates:
        samples = [slate.sample for slate in slates]
        scores_NT = Scorer(state).score(columns_from_samples(samples))
        weights_N = targets_from_samples(samples).sampling_N
        for column, task in enumerate(TASKS):
            told_N = np.repeat(
                [task in slate.labels for slate in slates], [len(slate.sample.item_ids) for slate in slates]
            )
            labels = [label for slate in slates for label in slate.labels.get(task, ())]
            qualities[task].update(scores_NT[told_N, column], np.array(labels, np.float32), weights_N[told_N])
    return {task: quality.report() for task, quality in qualities.items()}


def closed_figures(reports: dict[str, QualityReport], labels: int) -> dict[str, float]:
    """Return the figures of the tasks with enough labels to be judged, for the manifest."""
    return {
        f"{task}/closed_{name}": value
        for task, report in reports.items()
        if report.positives >= labels
        for name, value in (("ne", report.normalized_entropy), ("calibration", report.calibration))
        if value is not None
    }
