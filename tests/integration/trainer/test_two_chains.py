"""The whole trainer: real broker, real Ray, two ranks, both chains."""

import signal
from typing import Any

import numpy as np
import pytest

from springtide.contracts.tasks import TASKS
from springtide.model.bundle import apply_delta, read_bundle, start_state
from springtide.model.golden import check_golden_scores
from springtide.model.inputs import columns_from_samples
from springtide.model.scorer import Scorer
from springtide.model.state import ModelState
from springtide.quality.auc import exact_auc


@pytest.mark.timeout(600)
def test_learns_publishes_and_reanchors(world: Any, trainers: Any, stream: Any) -> None:
    stream.send(trainers.kafka, world.rows(0, 4))
    process = trainers.start()

    def anchored() -> bool:
        """Tell whether the minute chain has started from the second day's base."""
        versions = [update.version for update in stream.updates(trainers.kafka)]
        later = versions[versions.index("daily-2.0") :] if "daily-2.0" in versions else []
        return any(version.startswith("minute") and version.endswith(".0") for version in later)

    stream.wait_until(anchored, "the second day", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, trainers.log()[-3000:]
    found = stream.updates(trainers.kafka)
    assert not [update.refused for update in found if update.refused]
    minute = [update for update in found if update.chain == "minute"]
    assert {update.kind for update in minute} == {"base", "delta"}
    assert [update.base_version for update in minute] == sorted(update.base_version for update in minute)

    state: ModelState | None = None
    for update in minute:
        bundle = read_bundle(trainers.bundles / update.path, update.manifest_sha256)
        state = start_state(bundle) if state is None or update.kind == "base" else apply_delta(state, bundle)
        check_golden_scores(state)
    assert state is not None
    fresh = world.closed_day(50)
    scores_NT = Scorer(state).score(columns_from_samples(fresh))
    for column, task in enumerate(TASKS):
        labels = np.array([label for row in fresh for label in row.labels[task]], float)
        auc = exact_auc(scores_NT[:, column].astype(float), labels)
        assert auc is not None
        assert auc > 0.7, task
        assert 0.7 < scores_NT[:, column].mean() / labels.mean() < 1.4, task
    assert minute[-1].metrics["click/ne"] < 1.0
