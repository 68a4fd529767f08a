"""Bundles: base + deltas equal the full model bit for bit; torn, flipped, foreign and out-of-order ones are refused."""

from __future__ import annotations

import hashlib
import pickle
import resource
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from springtide.contracts.bundle import MANIFEST, Manifest
from springtide.contracts.errors import BundleError
from springtide.contracts.events import Context
from springtide.model.bundle import (
    DENSE,
    FILES,
    TABLES,
    Bundle,
    apply_delta,
    manifest_digest,
    read_bundle,
    start_state,
    write_bundle,
)
from springtide.model.config import ModelConfig
from springtide.model.dense_network import DenseNetwork
from springtide.model.embeddings import initial_table
from springtide.model.golden import check_golden_scores, golden_scores
from springtide.model.id_table import IdTable
from springtide.model.inputs import columns_from_slate
from springtide.model.scorer import Scorer
from springtide.model.state import ModelState, TableRows, whole_table


@dataclass
class FakeTrainer:
    """What a trainer holds, changed by random steps instead of by learning."""

    config: ModelConfig
    root: Path

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(3)
        self.network = DenseNetwork(self.config)
        self.tables = {name: initial_table(self.config, name) for name in self.config.capacities}
        self.ids = {
            name: IdTable(capacity=rows, admission_count=1, expiry_ms=50)
            for name, rows in self.config.capacities.items()
        }
        self.touched: dict[str, set[int]] = {name: set() for name in self.tables}
        self.sequence = 0

    def learn(self, step: int) -> None:
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.01)
        for name, table in self.tables.items():
            rows = self.ids[name].observe([f"{name}{n}" for n in self.random.integers(0, 90, 20)], step * 20)
            self.ids[name].expire(step * 20)
            table[torch.from_numpy(rows)] += 0.1
            self.touched[name] |= set(rows.tolist())

    def manifest(self, **changes: object) -> Manifest:
        first = "minute-0.0"
        version = f"minute-0.{self.sequence}"
        manifest = Manifest(
            version=version,
            chain="minute",
            kind="delta" if self.sequence else "base",
            base_version=first,
            parent_version=f"minute-0.{self.sequence - 1}" if self.sequence else "",
            sequence=self.sequence,
            preset="mmoe-esm2",
            model_config=self.config.to_dict(),
            feature_set_version=1,
            tables={},
            offsets={"0": self.sequence},
            newest_event_ms=1,
            watermark_ms=1,
            samples_learned=1,
            golden_scores=golden_scores(self.config, self.network.state_dict(), self.tables),
        )
        return msgspec.structs.replace(manifest, **changes)

    def publish(self, shapes: Manifest | None = None) -> Path:
        folder = self.root / f"minute-0.{self.sequence}"
        dense = self.network.state_dict()
        if self.sequence == 0:
            tables = {name: whole_table(table) for name, table in self.tables.items()}
            for table in self.ids.values():
                table.take_journal()
            write_bundle(folder, self.manifest(), dense, tables, {n: table.id_map() for n, table in self.ids.items()})
        else:
            rows = {name: torch.tensor(sorted(touched)) for name, touched in self.touched.items()}
            part = {name: TableRows(rows=rows[name], vectors=self.tables[name][rows[name]]) for name in rows}
            assert shapes is not None
            manifest = self.manifest(tables=shapes.tables)
            write_bundle(folder, manifest, dense, part, {n: table.take_journal() for n, table in self.ids.items()})
        self.touched = {name: set() for name in self.tables}
        self.sequence += 1
        return folder


@pytest.fixture
def trainer(sizes: ModelConfig, tmp_path: Path) -> FakeTrainer:
    torch.manual_seed(0)
    return FakeTrainer(sizes, tmp_path)


@pytest.fixture
def chain(trainer: FakeTrainer) -> list[Path]:
    """A base and two deltas on disk."""
    trainer.learn(0)
    folders = [trainer.publish()]
    base = read_bundle(folders[0]).manifest
    for step in (1, 2):
        trainer.learn(step)
        folders.append(trainer.publish(base))
    return folders


def load(chain: list[Path]) -> ModelState:
    state = start_state(read_bundle(chain[0]))
    for folder in chain[1:]:
        state = apply_delta(state, read_bundle(folder))
    return state


def test_base_and_deltas_equal_the_full_model_bit_for_bit(chain: list[Path], trainer: FakeTrainer) -> None:
    state = load(chain)
    for name, table in trainer.tables.items():
        assert torch.equal(state.tables[name], table), name
        assert state.ids[name].row_of == trainer.ids[name].id_map().row_of
    for name, tensor in trainer.network.state_dict().items():
        assert torch.equal(state.dense[name], tensor), name
    check_golden_scores(state)


def test_a_served_state_never_changes(chain: list[Path]) -> None:
    state = start_state(read_bundle(chain[0]))
    before = {name: table.clone() for name, table in state.tables.items()}
    ids = {name: dict(entry.row_of) for name, entry in state.ids.items()}
    apply_delta(state, read_bundle(chain[1]))
    assert all(torch.equal(before[name], table) for name, table in state.tables.items())
    assert all(ids[name] == entry.row_of for name, entry in state.ids.items())


def test_a_delta_that_touches_no_row_shares_the_table(chain: list[Path]) -> None:
    state = start_state(read_bundle(chain[0]))
    delta = read_bundle(chain[1])
    nothing = TableRows(rows=torch.empty(0, dtype=torch.int64), vectors=torch.empty(0, 4))
    delta = replace(delta, tables={**delta.tables, "user": nothing})
    assert apply_delta(state, delta).tables["user"] is state.tables["user"]


def test_a_gap_in_the_chain_is_refused(chain: list[Path]) -> None:
    state = start_state(read_bundle(chain[0]))
    with pytest.raises(BundleError, match=r"after minute-0\.1"):
        apply_delta(state, read_bundle(chain[2]))


def test_a_delta_is_applied_once(chain: list[Path]) -> None:
    state = load(chain)
    with pytest.raises(BundleError):
        apply_delta(state, read_bundle(chain[2]))


@pytest.mark.parametrize(
    "change",
    [{"sequence": 9}, {"kind": "base"}, {"base_version": "minute-7"}, {"model_config": {}}, {"tables": {}}],
)
def test_a_delta_that_does_not_fit_is_refused(chain: list[Path], change: dict[str, object]) -> None:
    state = start_state(read_bundle(chain[0]))
    delta = read_bundle(chain[1])
    wrong = replace(delta, manifest=msgspec.structs.replace(delta.manifest, **change))
    with pytest.raises(BundleError):
        apply_delta(state, wrong)


def test_a_delta_is_no_start(chain: list[Path]) -> None:
    with pytest.raises(BundleError, match="expected a base"):
        start_state(read_bundle(chain[1]))


def test_a_model_with_nan_is_refused(chain: list[Path]) -> None:
    base = read_bundle(chain[0])
    base.tables["item"].vectors[3, 0] = torch.nan
    with pytest.raises(BundleError, match="NaN"):
        start_state(base)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_torn_file_is_named(chain: list[Path], name: str) -> None:
    path = chain[0] / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(BundleError, match=name):
        read_bundle(chain[0])


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_named(chain: list[Path], name: str) -> None:
    path = chain[0] / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=name):
        read_bundle(chain[0])


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(chain: list[Path], name: str) -> None:
    (chain[0] / name).unlink()
    with pytest.raises(BundleError, match=name):
        read_bundle(chain[0])


def test_a_manifest_other_than_announced_is_refused(chain: list[Path]) -> None:
    read_bundle(chain[0], manifest_digest(chain[0]))
    with pytest.raises(BundleError, match=MANIFEST):
        read_bundle(chain[0], "00")


def test_a_pickle_is_refused_even_with_a_matching_checksum(chain: list[Path]) -> None:
    content = pickle.dumps({"weight": [1.0]})
    (chain[0] / DENSE).write_bytes(content)
    manifest = read_manifest(chain[0])
    files = [
        msgspec.structs.replace(entry, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        if entry.name == DENSE
        else entry
        for entry in manifest.files
    ]
    (chain[0] / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, files=files)))
    with pytest.raises(BundleError, match="safetensors"):
        read_bundle(chain[0])


def read_manifest(folder: Path) -> Manifest:
    return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)


def test_a_version_is_never_overwritten(chain: list[Path], trainer: FakeTrainer) -> None:
    trainer.sequence = 0
    with pytest.raises(BundleError, match="exists"):
        trainer.publish()


def test_a_full_disk_is_told_of_and_leaves_nothing(trainer: FakeTrainer) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))
    try:
        with pytest.raises(BundleError, match="minute-0.0: expected room"):
            trainer.publish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(trainer.root.iterdir()) == []


def test_a_torn_attempt_is_invisible_and_does_not_block(trainer: FakeTrainer) -> None:
    torn = trainer.root / ".minute-0.0.writing"
    torn.mkdir(parents=True)
    (torn / TABLES).write_bytes(b"half")
    folder = trainer.publish()
    assert not torn.exists()
    assert {path.name for path in folder.iterdir()} == {*FILES, MANIFEST}


def test_wrong_golden_scores_are_refused(chain: list[Path]) -> None:
    state = load(chain)
    golden = {task: [score + 1e-3 for score in scores] for task, scores in state.manifest.golden_scores.items()}
    with pytest.raises(BundleError, match="golden"):
        check_golden_scores(replace(state, manifest=msgspec.structs.replace(state.manifest, golden_scores=golden)))


def test_a_loaded_state_scores_known_and_unknown_ids(chain: list[Path]) -> None:
    scorer = Scorer(load(chain))
    scores = scorer.score(columns_from_slate(None, ["item1", "never seen"], "user1", Context(), 0))
    assert scores.shape == (2, 3)
    assert ((scores > 0) & (scores < 1)).all()


def test_a_bundle_reads_back_as_written(chain: list[Path]) -> None:
    bundle: Bundle = read_bundle(chain[1])
    assert bundle.manifest.parent_version == "minute-0.0"
    assert set(bundle.tables) == set(bundle.ids) == set(bundle.manifest.tables)
