"""Writes a bundle of all ranks' parts, and reads it back as serving will before anyone hears of it."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from springtide.contracts.bundle import Manifest, TableEntry
from springtide.contracts.errors import BundleError
from springtide.model.bundle import apply_delta, read_bundle, start_state, write_bundle
from springtide.model.config import ModelConfig
from springtide.model.golden import check_golden_scores, golden_scores
from springtide.model.id_map import IdMap, Journal
from springtide.model.state import ModelState, TableRows
from trainer.failpoints import reach
from trainer.guard import HarmfulUpdateError
from trainer.judge import Judge
from trainer.messages import Export


class BundleWriter:
    """Keeps each chain's published state, so that a delta is checked against what serving has.

    Args:
        root: of all bundles.
        config: of the model.
        judge: compares what was written with what is served; none admits all.
    """

    def __init__(self, root: Path, config: ModelConfig, judge: Judge | None = None) -> None:
        self._root, self._config, self._judge = root, config, judge
        self._published: dict[str, ModelState] = {}

    def write(self, manifest: Manifest, exports: Sequence[Export]) -> Manifest:
        """Write, read back, verify and judge; returns the manifest as written, with the judge's figures beside its own.

        Raises:
            BundleError: the bundle holds NaN, does not follow the one before, or does not score as it should.
            HarmfulUpdateError: it is worse than what is served.
        """
        dense = {name: torch.from_numpy(array.copy()) for name, array in exports[0].dense.items()}
        tables = {
            table: TableRows(rows=torch.from_numpy(rows.copy()), vectors=torch.from_numpy(vectors.copy()))
            for export in exports
            for table, (rows, vectors) in export.tables.items()
        }
        whole = self._whole_tables(manifest, tables)
        scores = golden_scores(self._config, dense, whole)
        manifest = msgspec.structs.replace(manifest, golden_scores=scores, tables=_shapes(whole))
        folder = self._root / manifest.chain / manifest.version
        shutil.rmtree(folder, ignore_errors=True)  # of a life that ended before it was announced
        written = write_bundle(folder, manifest, dense, tables, _ids(manifest.kind, exports[0]))
        reach("bundle-written")
        try:
            state = self._read_back(folder, manifest.kind)
            figures = self._judge.admit(state) if self._judge else {}
        except (BundleError, HarmfulUpdateError):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._published[manifest.chain] = state
        if self._judge:
            self._judge.published(state)
        reach("bundle-admitted")
        return msgspec.structs.replace(written, metrics={**written.metrics, **figures})

    def _whole_tables(self, manifest: Manifest, tables: Mapping[str, TableRows]) -> dict[str, Tensor]:
        if manifest.kind == "base":
            return {table: rows.vectors for table, rows in tables.items()}
        before = self._published[manifest.chain].tables
        return {table: before[table].index_copy(0, rows.rows, rows.vectors) for table, rows in tables.items()}

    def _read_back(self, folder: Path, kind: str) -> ModelState:
        bundle = read_bundle(folder)
        state = start_state(bundle) if kind == "base" else apply_delta(self._published[bundle.manifest.chain], bundle)
        check_golden_scores(state)
        return state


def _shapes(tables: Mapping[str, Tensor]) -> dict[str, TableEntry]:
    return {name: TableEntry(rows=len(table), dim=table.shape[1]) for name, table in sorted(tables.items())}


def _ids(kind: str, export: Export) -> dict[str, IdMap] | dict[str, Journal]:
    if kind == "base":
        return {table: IdMap.from_arrays(arrays) for table, arrays in export.ids.items()}
    return {table: Journal.from_arrays(arrays) for table, arrays in export.ids.items()}
