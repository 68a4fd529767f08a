"""One rank, no Ray: what the bundle and checkpoint promise about the sharded model."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from springtide.contracts.errors import BundleError, StateError
from springtide.model.bundle import apply_delta, read_bundle, start_state
from springtide.model.config import ModelConfig
from springtide.model.initial import initial_vectors
from springtide.model.inputs import columns_from_samples
from springtide.model.presets import preset
from springtide.model.scorer import Scorer
from springtide.runtime.config import KafkaConfig
from tests.integration.trainer.conftest import with_behaviours
from trainer.bundle_writer import BundleWriter
from trainer.chain_model import ChainModel
from trainer.export import export_part
from trainer.live_feed import LiveFeed
from trainer.messages import Meeting
from trainer.packing import pack
from trainer.process_group import join_group
from trainer.progress import ChainProgress
from trainer.publisher import next_manifest
from trainer.rank_state import save_rank
from trainer.sample_source import SampleSource

ARRIVED_T = torch.tensor([1.0, 1.0, 0.6])
CONFIG = dataclasses.replace(
    ModelConfig(), capacities={**ModelConfig().capacities, "user": 50, "item": 60}, dense_learning_rate=0.005
)


@pytest.fixture(scope="module")
def group() -> Iterator[Any]:
    yield join_group(Meeting(rank=0, world_size=1, host="127.0.0.1", port=0, timeout=timedelta(seconds=60)))
    dist.destroy_process_group()


@pytest.fixture
def chain(group: Any) -> ChainModel:
    return ChainModel(CONFIG, group, "es-dfm")


def learn(chain: ChainModel, rows: list[Any]) -> None:
    chain.run(list(pack([row for row in rows if row.phase != "final"], 128)), "learn", ARRIVED_T, True)


def publish(writer: BundleWriter, chain: ChainModel, kind: Any, progress: ChainProgress) -> Any:
    manifest = next_manifest(
        "minute", kind, progress, preset="p", model=CONFIG, offsets={}, watermark_ms=0, metrics={}
    )  # fmt: skip
    written = writer.write(manifest, [export_part(chain, kind, first=True)])
    progress.base_number += kind == "base"
    progress.sequence, progress.version = written.sequence, written.version
    progress.base_version = written.base_version
    return written


def test_base_and_deltas_are_the_model_bit_for_bit(chain: ChainModel, world: Any, tmp_path: Path) -> None:
    writer, progress = BundleWriter(tmp_path, CONFIG), ChainProgress()
    days = [world.rows(day, 1) for day in range(3)]  # 60 users do not fit 50 rows: ids come and go
    learn(chain, days[0])
    versions = [publish(writer, chain, "base", progress).version]
    for rows in days[1:]:
        learn(chain, rows)
        versions.append(publish(writer, chain, "delta", progress).version)
    state = start_state(read_bundle(tmp_path / "minute" / versions[0]))
    for version in versions[1:]:
        state = apply_delta(state, read_bundle(tmp_path / "minute" / version))
    for table in chain.network.owned:
        assert torch.equal(state.tables[table], chain.network.rows(table))
        assert state.ids[table] == chain.ids[table].id_map()
    assert all(torch.equal(state.dense[name], tensor) for name, tensor in chain.network.dense().items())

    rows = world.closed_day(5)[:100]
    scored = chain.run(list(pack(rows, 128)), "score", ARRIVED_T, True).scored
    trained_NT = np.concatenate([batch.probabilities_NT for batch in scored])
    served_NT = Scorer(state).score(columns_from_samples(rows))
    assert np.allclose(trained_NT, served_NT, atol=1e-6)


def test_scoring_changes_nothing(chain: ChainModel, world: Any) -> None:
    rows = world.rows(0, 1)
    learn(chain, rows[:200])
    before = chain.local_state()
    chain.run(list(pack(rows[200:400], 128)), "score", ARRIVED_T, True)
    after = chain.local_state()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_saved_state_goes_on_as_the_model_would_have(chain: ChainModel, group: Any, world: Any) -> None:
    rows = world.rows(0, 1)
    learn(chain, rows[:400])
    copy = ChainModel(CONFIG, group, "es-dfm")
    copy.load_local_state(chain.local_state())
    for model in (chain, copy):
        learn(model, rows[400:])
    first, second = chain.local_state(), copy.local_state()
    learned = [name for name in first if name.startswith(("table.", "momentum.", "dense.", "adam."))]
    assert len(learned) > 20
    assert all(torch.equal(first[name], second[name]) for name in learned)


def test_nets_that_are_not_served_are_saved_but_not_published(group: Any, world: Any, tmp_path: Path) -> None:
    config = preset("deepmcp", CONFIG)
    rows = with_behaviours([row for row in world.rows(0, 1) if row.phase == "observed"])
    first = ChainModel(config, group, "es-dfm")
    learn(first, rows[:200])
    second = ChainModel(config, group, "es-dfm")
    second.load_local_state(first.local_state())
    for model in (first, second):
        learn(model, rows[200:400])
    saved, again = first.local_state(), second.local_state()
    nets = [name for name in saved if "auxiliary." in name]
    assert {name.split(".")[0] for name in nets} == {"auxiliary", "adam"}
    learned = [name for name in saved if name.startswith(("table.", "dense.", *nets, "adam."))]
    assert all(torch.equal(saved[name], again[name]) for name in learned)
    with pytest.raises(StateError, match=r"expected auxiliary\."):
        second.load_local_state({name: part for name, part in saved.items() if name not in nets})
    assert not any(name.startswith("auxiliary") for name in export_part(first, "base", first=True).dense)


def test_a_reused_row_starts_clean(chain: ChainModel, world: Any) -> None:
    learn(chain, world.rows(0, 1))
    row = int(chain.ids["user"].lookup(["u1"])[0])
    assert row > 0
    rows = np.array([row])
    first = torch.from_numpy(initial_vectors("user", rows, CONFIG.embedding_dim, CONFIG.seed))
    assert not torch.equal(chain.network.rows("user", torch.from_numpy(rows)), first)
    chain.network.reset_rows("user", rows, first)
    state = chain.local_state()
    assert torch.equal(state["table.user"][rows], first)
    assert state["momentum.user"][row] == 0.0


def test_what_is_not_finite_is_neither_published_nor_saved(chain: ChainModel, world: Any, tmp_path: Path) -> None:
    learn(chain, world.rows(0, 1)[:100])
    chain.network.reset_rows("item", np.array([1]), np.full((1, CONFIG.embedding_dim), np.nan, np.float32))
    with pytest.raises(BundleError, match="NaN"):
        publish(BundleWriter(tmp_path, CONFIG), chain, "base", ChainProgress())
    assert not list((tmp_path / "minute").iterdir())
    feed = LiveFeed(SampleSource(KafkaConfig(), {0: 0}), 1)
    with pytest.raises(StateError, match="NaN"):
        save_rank(tmp_path, 0, {"minute": chain}, feed)
