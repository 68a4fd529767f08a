"""Which bundles on disk lead to a version: its base and the deltas since, oldest first."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from springtide.contracts.bundle import MANIFEST, Manifest
from springtide.contracts.errors import BundleError
from springtide.model.bundle import apply_delta, read_bundle, start_state
from springtide.model.state import ModelState


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest alone, to plan with; its checksum is verified when the bundle is read.

    Raises:
        BundleError: there is none, or it is no manifest.
    """
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{folder.name}: expected a readable manifest, got {error}; publish a new base") from error


def lineage(chain_folder: Path, version: str, have: str = "") -> list[Path]:
    """List the folders to read for `version`, oldest first.

    Args:
        chain_folder: `{root}/{chain}`.
        version: wanted.
        have: version already in memory; if it is on the way, only what follows it is listed.

    Raises:
        BundleError: a bundle on the way is missing.
    """
    found: list[Path] = []
    above = 0
    while True:
        folder = chain_folder / version
        manifest = read_manifest(folder)
        if found and manifest.sequence >= above:
            raise BundleError(f"{version}: expected a sequence below {above}, got {manifest.sequence}; publish a base")
        found.append(folder)
        if manifest.kind == "base" or manifest.parent_version == have:
            return found[::-1]
        version, above = manifest.parent_version, manifest.sequence


def read_version(chain_folder: Path, version: str) -> ModelState:
    """Read a version whole: its base and every delta up to it, all verified.

    Raises:
        BundleError: something on the way is missing or damaged.
    """
    base, *deltas = lineage(chain_folder, version)
    state = start_state(read_bundle(base))
    for folder in deltas:
        state = apply_delta(state, read_bundle(folder))
    return state


def newest_first(chain_folder: Path) -> Iterator[str]:
    """Yield the versions of a chain on disk, the one written last first; folders in the making are left out."""
    try:
        folders = [folder for folder in chain_folder.iterdir() if (folder / MANIFEST).is_file()]
    except FileNotFoundError:
        return
    written = {folder: (folder / MANIFEST).stat().st_mtime_ns for folder in folders if not folder.name.startswith(".")}
    for folder in sorted(written, key=lambda folder: (written[folder], folder.name), reverse=True):
        yield folder.name
