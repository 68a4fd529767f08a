"""Model bundles on disk: written beside, synced, renamed; read with every checksum verified. No pickle anywhere."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from springtide.contracts.bundle import MANIFEST, FileEntry, Manifest, TableEntry
from springtide.contracts.errors import BundleError, ConfigError, StateError
from springtide.model.config import ModelConfig
from springtide.model.id_map import IdMap, Journal
from springtide.model.state import ModelState, TableRows

DENSE: Final = "dense.safetensors"
TABLES: Final = "tables.safetensors"
IDS: Final = "ids.safetensors"
FILES: Final = (DENSE, TABLES, IDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A verified bundle in memory."""

    manifest: Manifest
    dense: dict[str, Tensor]
    tables: dict[str, TableRows]
    ids: dict[str, IdMap] | dict[str, Journal]
    """Maps in a base, journals in a delta."""


def write_bundle(
    folder: Path,
    manifest: Manifest,
    dense: Mapping[str, Tensor],
    tables: Mapping[str, TableRows],
    ids: Mapping[str, IdMap] | Mapping[str, Journal],
) -> Manifest:
    """Write a bundle; `folder` appears whole or not at all.

    Args:
        folder: must not exist yet; versions are never overwritten.
        manifest: without `files`, and `tables` may be empty for a base; both are filled in.
        dense: DenseNetwork.state_dict().
        tables: every row for a base, the touched ones for a delta.
        ids: IdMap per table for a base, Journal per table for a delta.

    Returns:
        The manifest as written.

    Raises:
        BundleError: the folder exists, or the disk has no room for it; then nothing of it is left.
    """
    if folder.exists():
        raise BundleError(f"{folder.name}: expected a new version, got one that exists; choose the next version")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.parent / f".{folder.name}.writing"
    shutil.rmtree(beside, ignore_errors=True)  # a torn attempt of an earlier life
    contents = {
        DENSE: _serialize(dense),
        TABLES: _serialize(
            {f"{name}.{part}": getattr(rows, part) for name, rows in tables.items() for part in ("rows", "vectors")}
        ),
        IDS: _serialize(
            {
                f"{table}.{part}": torch.from_numpy(array)
                for table, entry in ids.items()
                for part, array in entry.to_arrays().items()
            }
        ),
    }
    shapes = manifest.tables or {
        name: TableEntry(rows=len(part.vectors), dim=part.vectors.shape[1]) for name, part in tables.items()
    }
    entries = [
        FileEntry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    ]
    written = msgspec.structs.replace(manifest, files=entries, tables=shapes)
    contents[MANIFEST] = msgspec.json.encode(written)
    try:
        _write_whole(beside, folder, contents)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise BundleError(
            f"{folder.name}: expected room for it, got {error.strerror}; free some, the version before goes on"
        ) from error
    return written


def read_bundle(folder: Path, manifest_sha256: str = "") -> Bundle:
    """Read and verify a bundle.

    Args:
        folder: of one version.
        manifest_sha256: as announced; empty skips this check.

    Raises:
        BundleError: names the file and what is wrong with it.
    """
    content = _read(folder / MANIFEST)
    if manifest_sha256 and (found := hashlib.sha256(content).hexdigest()) != manifest_sha256:
        raise BundleError(f"{MANIFEST}: expected sha256 {manifest_sha256}, got {found}; fetch the bundle again")
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise BundleError(f"{MANIFEST}: expected a manifest, got {error}; fetch the bundle again") from error
    if {entry.name for entry in manifest.files} != set(FILES):
        raise BundleError(f"{MANIFEST}: expected the files {FILES}, got {[entry.name for entry in manifest.files]}")
    parts = {entry.name: _read_tensors(folder, entry) for entry in manifest.files}
    try:
        return Bundle(
            manifest=manifest,
            dense=parts[DENSE],
            tables={
                name: TableRows(rows=parts[TABLES][f"{name}.rows"], vectors=parts[TABLES][f"{name}.vectors"])
                for name in manifest.tables
            },
            ids=_read_ids(manifest, parts[IDS]),
        )
    except KeyError as error:
        raise BundleError(f"{folder.name}: expected an entry {error}, got none; publish a new base") from error


def manifest_digest(folder: Path) -> str:
    """Return the sha256 of a bundle's manifest, for its announcement.

    Raises:
        BundleError: there is no manifest.
    """
    return hashlib.sha256(_read(folder / MANIFEST)).hexdigest()


def start_state(base: Bundle) -> ModelState:
    """Return the state that a base holds.

    Raises:
        BundleError: the bundle is a delta, incomplete, or holds NaN or infinity.
    """
    manifest = base.manifest
    if manifest.kind != "base":
        raise BundleError(
            f"{manifest.version}: expected a base, got a {manifest.kind}; start from {manifest.base_version}"
        )
    for name, rows in base.tables.items():
        if not torch.equal(rows.rows, torch.arange(manifest.tables[name].rows)):
            raise BundleError(
                f"{manifest.version}/{TABLES}: expected every row of {name}, got {len(rows.rows)}; publish anew"
            )
    _check_finite(base)
    return ModelState(
        manifest=manifest,
        dense=base.dense,
        tables={name: rows.vectors for name, rows in base.tables.items()},
        ids={name: entry for name, entry in base.ids.items() if isinstance(entry, IdMap)},
    )


def apply_delta(state: ModelState, delta: Bundle) -> ModelState:
    """Return a new state with a delta applied; `state` stays as it is, for whoever still serves from it.

    Raises:
        BundleError: the delta does not follow this state, does not fit it, or holds NaN or infinity.
    """
    _check_follows(state.manifest, delta.manifest)
    _check_finite(delta)
    return ModelState(
        manifest=delta.manifest,
        dense=delta.dense,
        tables={name: _with_rows(name, table, delta.tables.get(name)) for name, table in state.tables.items()},
        ids={name: _with_journal(name, entry, delta.ids.get(name)) for name, entry in state.ids.items()},
    )


def _check_follows(have: Manifest, delta: Manifest) -> None:
    where = delta.version
    if delta.kind != "delta":
        raise BundleError(f"{where}: expected a delta, got a {delta.kind}; start a new state from it")
    if (delta.base_version, delta.parent_version) != (have.base_version, have.version):
        raise BundleError(
            f"{where}: expected a delta of base {have.base_version} after {have.version}, got one of base "
            f"{delta.base_version} after {delta.parent_version}; load what is missing or start from the base"
        )
    if delta.sequence != have.sequence + 1:
        raise BundleError(f"{where}: expected sequence {have.sequence + 1}, got {delta.sequence}; start from the base")
    if delta.model_config != have.model_config and not _equal_settings(delta, have):
        raise BundleError(f"{where}: expected the base's model_config, got another; publish a new base")
    if delta.tables != have.tables:
        raise BundleError(f"{where}: expected tables {have.tables}, got {delta.tables}; publish a new base")


def _equal_settings(delta: Manifest, have: Manifest) -> bool:
    """Whether two manifests that spell their settings differently mean the same, as after a release that adds some."""
    try:
        return ModelConfig.from_dict(delta.model_config) == ModelConfig.from_dict(have.model_config)
    except ConfigError:
        return False


def _with_rows(name: str, table: Tensor, touched: TableRows | None) -> Tensor:
    if touched is None or len(touched.rows) == 0:
        return table
    if int(touched.rows.max()) >= len(table) or touched.vectors.shape[1:] != table.shape[1:]:
        raise BundleError(
            f"{TABLES}: expected rows of {name} within {tuple(table.shape)}, got others; start from the base"
        )
    return table.index_copy(0, touched.rows, touched.vectors)


def _with_journal(name: str, ids: IdMap, journal: IdMap | Journal | None) -> IdMap:
    if not isinstance(journal, Journal):
        return ids
    try:
        return ids.apply(journal)
    except StateError as error:
        raise BundleError(f"{IDS}: {name}: {error}") from error


def _check_finite(bundle: Bundle) -> None:
    tensors = {DENSE: list(bundle.dense.values()), TABLES: [rows.vectors for rows in bundle.tables.values()]}
    for file, values in tensors.items():
        if not all(bool(tensor.isfinite().all()) for tensor in values):
            raise BundleError(
                f"{bundle.manifest.version}/{file}: expected finite values, got NaN or infinity; keep the old"
            )


def _read_ids(manifest: Manifest, tensors: Mapping[str, Tensor]) -> dict[str, IdMap] | dict[str, Journal]:
    by_table = {
        table: {
            name.removeprefix(f"{table}."): part.numpy()
            for name, part in tensors.items()
            if name.startswith(f"{table}.")
        }
        for table in manifest.tables
    }
    if manifest.kind == "base":
        return {table: IdMap.from_arrays(arrays) for table, arrays in by_table.items()}
    return {table: Journal.from_arrays(arrays) for table, arrays in by_table.items()}


def _read_tensors(folder: Path, entry: FileEntry) -> dict[str, Tensor]:
    content = _read(folder / entry.name)
    if len(content) != entry.size:
        raise BundleError(f"{entry.name}: expected {entry.size} bytes, got {len(content)}; fetch the bundle again")
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(f"{entry.name}: expected its sha256, got another; fetch the bundle again")
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except SafetensorError as error:
        raise BundleError(f"{entry.name}: expected safetensors, got {error}; publish it anew") from error
    return tensors


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path.name}: expected a readable file, got {error.strerror}; fetch the bundle again"
        ) from error


def _serialize(tensors: Mapping[str, Tensor]) -> bytes:
    content: bytes = safetensors.torch.save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
    return content


def _write_whole(beside: Path, folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files in order, and only then let the folder appear."""
    beside.mkdir()
    for name, content in contents.items():
        _write_synced(beside / name, content)
    _sync_folder(beside)
    beside.rename(folder)
    _sync_folder(folder.parent)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
