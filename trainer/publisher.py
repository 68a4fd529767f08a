"""Versions, the announcement of a bundle, and the removal of old ones. Reaches no torch."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from springtide.contracts.bundle import MANIFEST, Kind, Manifest, ModelUpdate
from springtide.contracts.features import FEATURE_SET_VERSION
from springtide.model.config import ModelConfig
from trainer.progress import ChainProgress


def next_manifest(
    chain: str, kind: Kind, progress: ChainProgress, *, preset: str, model: ModelConfig, offsets: dict[int, int],
    watermark_ms: int, metrics: dict[str, float],
) -> Manifest:  # fmt: skip
    """Return the manifest of a chain's next bundle, without what its writer fills in."""
    base = kind == "base"
    number = progress.base_number + base
    sequence = 0 if base else progress.sequence + 1
    version = f"{chain}-{number}.{sequence}"
    return Manifest(
        version=version,
        chain=chain,
        kind=kind,
        base_version=version if base else progress.base_version,
        parent_version="" if base else progress.version,
        sequence=sequence,
        preset=preset,
        model_config=model.to_dict(),
        feature_set_version=FEATURE_SET_VERSION,
        tables={},
        offsets={str(partition): offset for partition, offset in sorted(offsets.items())},
        newest_event_ms=progress.newest_ms,
        watermark_ms=watermark_ms,
        samples_learned=progress.rows,
        metrics=metrics,
    )


def announcement(manifest: Manifest, root: Path, now_ms: int, refused: str = "", rolled_back: str = "") -> ModelUpdate:
    """Return the message that tells of a bundle, why there is none, or why an old one is to be served again."""
    path = f"{manifest.chain}/{manifest.version}"
    return ModelUpdate(
        chain=manifest.chain,
        version=manifest.version,
        kind=manifest.kind,
        base_version=manifest.base_version,
        parent_version=manifest.parent_version,
        sequence=manifest.sequence,
        path=path,
        manifest_sha256="" if refused else hashlib.sha256((root / path / MANIFEST).read_bytes()).hexdigest(),
        newest_event_ms=manifest.newest_event_ms,
        watermark_ms=manifest.watermark_ms,
        samples_learned=manifest.samples_learned,
        published_ms=now_ms,
        preset=manifest.preset,
        metrics=manifest.metrics,
        refused=refused,
        rolled_back=rolled_back,
    )


def prune(root: Path, chain: str, bases_kept: int, proven: str = "") -> list[str]:
    """Remove the oldest bundles of a chain but for those of the newest bases; returns the versions removed.

    Args:
        root: of all bundles.
        chain: theirs.
        bases_kept: how many of the newest bases stay, with their deltas.
        proven: the version that may have to be served again; it stays with all of its base.
    """
    found = _numbered(root, chain)
    bases = sorted({number for number, _ in found})
    kept = {*bases[-bases_kept:], *(number for (number, _), path in found.items() if path.name == proven)}
    return _remove(path for (number, _), path in found.items() if number not in kept)


def withdraw(root: Path, chain: str, version: str) -> list[str]:
    """Remove what lies on disk beyond the version served, so that nobody starts from it; returns the versions removed.

    It was taken back, or never announced.
    """
    found = _numbered(root, chain)
    served = next((place for place, path in found.items() if path.name == version), None)
    return _remove(path for place, path in found.items() if served is not None and place > served)


def newest_base_number(root: Path, chain: str) -> int:
    """Return the highest base number found on disk, 0 without any: a new life never reuses a version."""
    return max((number for number, _ in _numbered(root, chain)), default=0)


def _numbered(root: Path, chain: str) -> dict[tuple[int, int], Path]:
    """Return the bundles of a chain by base number and sequence."""
    found = {}
    for path in (root / chain).glob(f"{chain}-*.*"):
        base, _, sequence = path.name.removeprefix(f"{chain}-").partition(".")
        if base.isdigit() and sequence.isdigit():
            found[int(base), int(sequence)] = path
    return found


def _remove(folders: Iterable[Path]) -> list[str]:
    removed = []
    for folder in folders:
        shutil.rmtree(folder)
        removed.append(folder.name)
    return sorted(removed)
