"""Takes new models into service: read, verify, compare, then one reference assignment. On any failure the old stays."""

import logging
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serving.load_outcome import LoadOutcome
from serving.models.loaded_model import LoadedModel
from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.errors import BundleError
from springtide.contracts.tasks import TASKS
from springtide.model.bundle import apply_delta, read_bundle, start_state
from springtide.model.golden import check_golden_scores
from springtide.model.lineage import lineage, newest_first
from springtide.model.state import ModelState

_log = logging.getLogger(__name__)

_EDGE = 1e-7


class ModelSlot:
    """Holds the model of one arm. `current` is read by one thread, `take` and `take_newest` are called by another."""

    def __init__(self, root: Path, chain: str, *, max_score_shift: float, min_samples_to_compare: int = 20_000) -> None:
        self.current: LoadedModel | None = None
        self._folder = root / chain
        self._root = root
        self._max_shift, self._min_samples = max_score_shift, min_samples_to_compare

    def take(self, update: ModelUpdate) -> LoadOutcome:
        """Serve an announced bundle; what was missed since the model served now is caught up from disk.

        A version that the publisher went back to is not compared with the one served: that one is known to be bad.
        """
        started = time.perf_counter()
        have = self.version
        if update.version == have:
            return self._outcome(have, started)
        try:
            self._swap(update.version, update.manifest_sha256, compare=not update.rolled_back)
        except BundleError as error:
            _log.warning("model refused: %s", error)
            if self.current is None:
                self.take_newest(but=update.version)  # any model on disk is better than none
                if self.current is not None:
                    return self._outcome(have, started)
            return self._outcome(have, started, version=update.version, refused=str(error))
        return self._outcome(have, started, rolled_back=update.rolled_back)

    def take_newest(self, but: str = "") -> LoadOutcome:
        """Serve the newest bundle on disk that can be loaded, except one; for the start, without an announcement."""
        started = time.perf_counter()
        have = self.version
        refused = ""
        for version in newest_first(self._folder):
            if version == have:
                break
            if version == but:
                continue
            try:
                self._swap(version, "")
                break
            except BundleError as error:
                refused = str(error)
                _log.warning("model passed over: %s", error)
        return self._outcome(have, started, refused="" if self.version != have else refused)

    @property
    def version(self) -> str:
        """Version served now; empty while there is none."""
        return self.current.version if self.current else ""

    def _outcome(
        self, have: str, started: float, *, version: str = "", refused: str = "", rolled_back: str = ""
    ) -> LoadOutcome:
        return LoadOutcome(
            version=version or self.version,
            previous_version=have,
            newest_event_ms=self.current.state.manifest.newest_event_ms if self.current else 0,
            load_ms=round(1000.0 * (time.perf_counter() - started), 3),
            refused=refused,
            rolled_back=rolled_back,
        )

    def _swap(self, version: str, digest: str, *, compare: bool = True) -> None:
        state = self._build(version, digest)
        check_golden_scores(state)
        model = LoadedModel(state)
        if compare:
            self._compare(model)
        self.current = model  # the swap: who ranks has taken its reference before, or takes the new one after

    def _build(self, version: str, digest: str) -> ModelState:
        state = self.current.state if self.current else None
        for folder in lineage(self._folder, version, have=self.version):
            bundle = read_bundle(folder, digest if folder.name == version else "")
            if bundle.manifest.kind == "base":
                state = start_state(bundle)
            elif state is None:
                raise BundleError(f"{version}: expected a base before {folder.name}, got none; publish a new base")
            else:
                state = apply_delta(state, bundle)
        if state is None:
            raise BundleError(f"{version}: expected a base on disk, got none; publish a new base")
        return state

    def _compare(self, model: LoadedModel) -> None:
        """Warm the new model with the last real batch, and refuse it if its scores are of another world.

        Raises:
            BundleError: a score is no probability, or the mean log odds of a task moved too far.
        """
        old = self.current
        if old is None or old.recent is None:
            return
        found = model.score_columns(old.recent)
        if not np.isfinite(found).all():
            raise BundleError(f"{model.version}: expected finite scores for real requests, got NaN; keep the old model")
        if old.state.manifest.samples_learned < self._min_samples:
            return  # a model that has hardly learned is no yardstick
        shift = _log_odds(found).mean(axis=0) - _log_odds(old.score_columns(old.recent)).mean(axis=0)
        for task, moved in zip(TASKS, shift.tolist(), strict=True):
            if abs(moved) > self._max_shift:
                raise BundleError(
                    f"{model.version}: expected mean log odds of {task} within {self._max_shift} of "
                    f"{old.version}'s, got a shift of {moved:+.2f}; look at its training, or raise "
                    "serving.max_score_shift"
                )


def _log_odds(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    clipped = np.clip(scores.astype(np.float64), _EDGE, 1.0 - _EDGE)
    return np.log(clipped) - np.log1p(-clipped)
