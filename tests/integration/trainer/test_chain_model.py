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
from springtide.contracts.topics import DAY_MS
from springtide.model.bundle import apply_delta, read_bundle, start_state
from springtide.model.config import ModelConfig
from springtide.model.delayed.phases import PHASES
from springtide.model.initial import initial_vectors
from springtide.model.inputs import columns_from_samples
from springtide.model.level import HOURS
from springtide.model.presets import preset
from springtide.model.scorer import Scorer
from springtide.runtime.config import KafkaConfig
from tests.integration.trainer.conftest import with_behaviours
from trainer.bundle_writer import BundleWriter
from trainer.chain_model import ChainModel
from trainer.export import export_part
from trainer.live_feed import LiveFeed
from trainer.messages import Meeting
from trainer.observations import Announcement, TableObservations
from trainer.packing import pack
from trainer.process_group import join_group
from trainer.progress import ChainProgress
from trainer.publisher import next_manifest
from trainer.rank_state import save_rank
from trainer.sample_source import SampleSource

ARRIVED_KT = torch.tensor([1.0, 1.0, 0.6]).expand(HOURS, -1)
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
    chain.run(list(pack([row for row in rows if row.phase != "final"], 128)), "learn", ARRIVED_KT, True)


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
    scored = chain.run(list(pack(rows, 128)), "score", ARRIVED_KT, True).scored
    trained_NT = np.concatenate([batch.probabilities_NT for batch in scored])
    served_NT = Scorer(state).score(columns_from_samples(rows))
    assert np.allclose(trained_NT, served_NT, atol=1e-6)


def test_scoring_changes_nothing(chain: ChainModel, world: Any) -> None:
    rows = world.rows(0, 1)
    learn(chain, rows[:200])
    before = chain.local_state()
    chain.run(list(pack(rows[200:400], 128)), "score", ARRIVED_KT, True)
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


def test_a_row_taken_over_keeps_no_trace_of_the_id_before(chain: ChainModel, world: Any) -> None:
    learn(chain, world.rows(0, 1))
    table, later_ms = chain.ids["user"], 400 * DAY_MS + int(max(row.impression_time_ms for row in world.rows(0, 1)))
    chain._update_ids([newcomer("first", later_ms)], later_ms)  # all others expire, after it took a free row
    before = chain.local_state()
    chain._update_ids([newcomer("second", later_ms)], later_ms)
    row = table.lookup(["second"])
    fresh = torch.from_numpy(initial_vectors("user", row, CONFIG.embedding_dim, CONFIG.seed))
    assert row[0] > 0
    assert before["momentum.user"][row] > 0.0
    assert not torch.equal(before["table.user"][row], fresh)
    after = chain.local_state()
    assert after["momentum.user"][row] == 0.0
    assert torch.equal(after["table.user"][row], fresh)
    others = np.setdiff1d(np.arange(CONFIG.capacities["user"]), row)
    for part in ("table.user", "momentum.user"):
        assert torch.equal(after[part][others], before[part][others])
    assert row[0] in chain.take_touched()["user"]


def newcomer(raw_id: str, time_ms: int) -> Announcement:
    seen = TableObservations(ids=[raw_id], counts=[9], times_ms=[time_ms])
    return Announcement(rows_ST=[], newest_ms=time_ms, exhausted=True, tables={"user": seen})


def test_what_is_not_finite_is_neither_published_nor_saved(chain: ChainModel, world: Any, tmp_path: Path) -> None:
    learn(chain, world.rows(0, 1)[:100])
    chain.network.reset_rows("item", np.array([1]), np.full((1, CONFIG.embedding_dim), np.nan, np.float32))
    with pytest.raises(BundleError, match="NaN"):
        publish(BundleWriter(tmp_path, CONFIG), chain, "base", ChainProgress())
    assert not list((tmp_path / "minute").iterdir())
    feed = LiveFeed(SampleSource(KafkaConfig(), {0: 0}), 1)
    with pytest.raises(StateError, match="NaN"):
        save_rank(tmp_path, 0, {"minute": chain}, feed)


@pytest.mark.parametrize("weighting", ["uncertainty", "pe-ltr"])
def test_a_weighting_learns_and_goes_on_from_a_checkpoint(group: Any, world: Any, weighting: str) -> None:
    config = dataclasses.replace(CONFIG, weighting=weighting)
    model, copy = ChainModel(config, group, "es-dfm"), ChainModel(config, group, "es-dfm")
    rows = world.rows(0, 1)
    learn(model, rows[:300])
    state = model.local_state()
    assert any(name.startswith("weighting.") for name in state) == (weighting == "uncertainty")
    if weighting == "uncertainty":
        assert (state["weighting.log_variance"] < 0).all()  # rare behaviours have losses below 1/2
    copy.load_local_state(state)
    for each in (model, copy):
        learn(each, rows[300:400])
    first, second = model.local_state(), copy.local_state()
    assert all(torch.equal(first[name], second[name]) for name in first if not name.startswith("ids."))
    plain = ChainModel(CONFIG, group, "es-dfm")
    learn(plain, rows[:300])
    assert any(not torch.equal(plain.local_state()[name], state[name]) for name in state if name.startswith("dense."))


@pytest.mark.parametrize("method", ["vanilla", "fnw", "fnc", "defer", "wait"])
def test_every_method_of_delayed_feedback_learns(group: Any, world: Any, method: Any) -> None:
    model = ChainModel(CONFIG, group, method, observed_age_ms=3_600_000)
    before = model.local_state()
    rows = [row for row in world.rows(0, 2) if row.phase in PHASES[method]][:300]
    model.run(list(pack(rows, 128)), "learn", ARRIVED_KT, True)
    after = model.local_state()
    changed = [name for name in before if name.startswith("dense.") and not torch.equal(before[name], after[name])]
    assert changed
    assert all(tensor.isfinite().all() for tensor in after.values() if tensor.is_floating_point())


@pytest.mark.parametrize(("name", "list_loss"), [("bpr", "softmax"), ("listwise", "softmax"), ("listwise", "list-mle")])
def test_slate_losses_learn_the_order_and_keep_the_level(group: Any, world: Any, name: str, list_loss: str) -> None:
    model = ChainModel(preset(name, dataclasses.replace(CONFIG, list_loss=list_loss)), group, "wait")
    model.run(list(pack(world.closed_day(0), 128)), "learn", ARRIVED_KT, True)
    scored = model.run(list(pack(world.closed_day(1)[:200], 128)), "score", ARRIVED_KT, True).scored
    p_N = np.concatenate([batch.probabilities_NT[:, 0] for batch in scored])
    clicked_N = np.concatenate([batch.targets.labels_NT[:, 0] for batch in scored]) > 0
    slate_N = np.repeat(np.arange(200), 8)
    pairs = clicked_N[:, None] & ~clicked_N[None, :] & (slate_N[:, None] == slate_N[None, :])
    right = (p_N[:, None] > p_N[None, :])[pairs].mean()
    assert right > 0.7
    assert p_N.mean() == pytest.approx(clicked_N.mean(), rel=0.3)


def test_how_soon_labels_come_is_learned_kept_and_left_alone_by_another_chain(group: Any, world: Any) -> None:
    model, copy = (ChainModel(CONFIG, group, "es-dfm", delays_by_features=True) for _ in range(2))
    learn(model, world.rows(0, 1))
    own = model.local_state()
    assert own["arrival.weights_DT"].any()
    copy.load_local_state(own)
    daily = ChainModel(CONFIG, group, "wait")
    copy.load_local_state(daily.local_state())  # as when the minute chain is anchored anew
    after = copy.local_state()
    assert all(torch.equal(after[name], own[name]) for name in own if name.startswith("arrival."))
    assert torch.equal(after["dense.level.shift_T"], daily.local_state()["dense.level.shift_T"])
