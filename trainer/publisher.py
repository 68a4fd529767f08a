"""Versions, the announcement of a bundle, and the removal of old ones. Reaches no torch."""

import hashlib
import shutil
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


def announcement(manifest: Manifest, root: Path, now_ms: int, refused: str = "") -> ModelUpdate:
    """Return the message that tells of a bundle, or why there is none."""
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
    )


def prune(root: Path, chain: str, bases_kept: int) -> list[str]:
    """Remove the oldest bundles of a chain but for those of the newest bases; returns the versions removed."""
    folder = root / chain
    numbers: dict[int, list[Path]] = {}
    for version in folder.glob(f"{chain}-*.*") if folder.exists() else ():
        base, _, _ = version.name.removeprefix(f"{chain}-").partition(".")
        if base.isdigit():
            numbers.setdefault(int(base), []).append(version)
    removed = []
    for number in sorted(numbers)[:-bases_kept]:
        for version in numbers[number]:
            shutil.rmtree(version)
            removed.append(version.name)
    return sorted(removed)


def newest_base_number(root: Path, chain: str) -> int:
    """Return the highest base number found on disk, 0 without any: a new life never reuses a version."""
    folder = root / chain
    found = [path.name.removeprefix(f"{chain}-").partition(".")[0] for path in folder.glob(f"{chain}-*.*")]
    return max((int(number) for number in found if number.isdigit()), default=0)
