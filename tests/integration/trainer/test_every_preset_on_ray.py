"""Every preset on two ranks under Ray: uneven rows, one bundle, and serving's scores equal to the trainer's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from serving.models.loaded_model import LoadedModel
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.model.bundle import read_bundle, start_state
from springtide.model.config import ModelConfig
from springtide.model.golden import check_golden_scores
from springtide.model.inputs import columns_from_samples
from springtide.model.level import HOURS
from springtide.model.presets import names, preset
from tests.integration.trainer.conftest import PATIENCE_S, with_behaviours
from trainer.bundle_writer import BundleWriter
from trainer.config import TrainerConfig
from trainer.messages import Export, Meeting
from trainer.own_ray import open_ray
from trainer.packing import pack
from trainer.progress import ChainProgress
from trainer.publisher import next_manifest

pytestmark = pytest.mark.timeout(900)

SHARES = (slice(20, 140), slice(140, 200))
"""Slates per rank: the second has nothing to read in the last steps."""
ROWS_PER_BATCH = 240
JUDGED = slice(0, 20)
SIZES = replace(
    ModelConfig(), embedding_dim=8, expert_units=(16, 8), tower_units=(8,),
    capacities={**ModelConfig().capacities, "user": 80, "item": 60},
)  # fmt: skip


SHARED = ("dense.", "auxiliary.", "adam.")
"""What is equal on all ranks, by its names in a checkpoint."""


class PresetRank:
    """What a rank does for a model, without a topic to read from."""

    def __init__(self, meeting: Meeting) -> None:
        from trainer.process_group import join_group

        self._group, self._first = join_group(meeting), meeting.rank == 0

    def learn(
        self, config: ModelConfig, batches: list[list[Sample]], judged: list[Sample]
    ) -> tuple[NDArray[np.float32], dict[str, Any], Export]:
        """Learn a new model; returns its scores of `judged`, all but the tables, and the part of a base."""
        from trainer.chain_model import ChainModel
        from trainer.export import export_part

        chain = ChainModel(config, self._group, "es-dfm")
        arrived_KT = torch.ones(HOURS, len(TASKS))
        chain.run(batches, "learn", arrived_KT, exhausted=True)
        (scored,) = chain.run([judged], "score", arrived_KT, exhausted=True).scored
        state = {name: part.numpy() for name, part in chain.local_state().items() if name.startswith(SHARED)}
        return scored.probabilities_NT, state, export_part(chain, "base", first=self._first)


@pytest.fixture(scope="module")
def ranks() -> Iterator[tuple[Any, list[Any]]]:
    ray = open_ray(TrainerConfig(ranks=len(SHARES)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    wait = timedelta(seconds=PATIENCE_S)
    meetings = [
        Meeting(rank=rank, world_size=len(SHARES), host="127.0.0.1", port=port, start_timeout=wait, timeout=wait)
        for rank in range(len(SHARES))
    ]
    actor = ray.remote(PresetRank)
    yield ray, [actor.options(num_cpus=1).remote(meeting) for meeting in meetings]
    ray.shutdown()


@pytest.mark.parametrize("name", names())
def test_two_ranks_learn_one_model_that_serves_the_same_scores(
    name: str, ranks: tuple[Any, list[Any]], world: Any, tmp_path: Path
) -> None:
    ray, actors = ranks
    config = preset(name, SIZES)
    rows = with_behaviours([row for row in world.rows(0, 1) if row.phase == "observed"])
    batches = [list(pack(rows[share], ROWS_PER_BATCH)) for share in SHARES]
    calls = [actor.learn.remote(config, mine, rows[JUDGED]) for actor, mine in zip(actors, batches, strict=True)]
    results = ray.get(calls, timeout=PATIENCE_S)
    (first_NT, first, _), (second_NT, second, _) = results
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[part], second[part]) for part in first)
    parameters = {part.removeprefix("dense.") for part in first if not part.startswith(("adam.", "dense.level."))}
    assert {part.removeprefix("adam.step.") for part in first if part.startswith("adam.step.")} == parameters
    np.testing.assert_array_equal(first_NT, second_NT)

    progress = ChainProgress()
    manifest = next_manifest(
        "minute", "base", progress, preset=name, model=config, offsets={}, watermark_ms=0, metrics={}
    )
    written = BundleWriter(tmp_path, config).write(manifest, [export for _, _, export in results])
    state = start_state(read_bundle(tmp_path / "minute" / written.version))
    check_golden_scores(state)
    assert not [part for part in state.dense if part.startswith("auxiliary")]
    served_NT = LoadedModel(state).score_columns(columns_from_samples(rows[JUDGED]))
    np.testing.assert_allclose(served_NT, first_NT, atol=1e-6)
