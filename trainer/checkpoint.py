"""Checkpoints: folders written beside, synced and renamed; the newest whole one is the truth at start.

`{folder}/{number}/` holds `rank-N.safetensors` per rank and `checkpoint.json`, written last, with every checksum.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from springtide.contracts.errors import StateError
from trainer.messages import SavedRank

MANIFEST: Final = "checkpoint.json"
FORMAT: Final = 1

_log = logging.getLogger(__name__)


class CheckpointManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint is."""

    format: int = FORMAT
    number: int
    model_config: dict[str, Any]
    driver: dict[str, Any]
    """The driver's own state, JSON-able."""
    ranks: list[SavedRank]


class CheckpointFolder:
    """All checkpoints of one trainer.

    Args:
        folder: is made where it is missing.
        kept: how many of the newest stay.
    """

    def __init__(self, folder: Path, kept: int) -> None:
        self._folder, self._kept = folder, kept
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self) -> Path:
        """Return an empty folder to write the ranks' files into; left-overs of a killed attempt go."""
        for torn in self._folder.glob(".writing-*"):
            shutil.rmtree(torn)
        beside = self._folder / f".writing-{self._next():08d}"
        beside.mkdir()
        return beside

    def commit(
        self, beside: Path, ranks: Sequence[SavedRank], driver: dict[str, Any], model_config: dict[str, Any]
    ) -> Path:
        """Make what was begun the newest checkpoint: whole, or not at all."""
        number = int(beside.name.removeprefix(".writing-"))
        manifest = CheckpointManifest(number=number, model_config=model_config, driver=driver, ranks=list(ranks))
        with (beside / MANIFEST).open("wb") as stream:
            stream.write(msgspec.json.encode(manifest))
            stream.flush()
            os.fsync(stream.fileno())
        _sync(beside)
        final = self._folder / f"{number:08d}"
        beside.rename(final)
        _sync(self._folder)
        for old in self._numbered()[: -self._kept]:
            shutil.rmtree(old)
        return final

    def newest(self) -> tuple[Path, CheckpointManifest] | None:
        """Return the newest whole checkpoint, or None; a torn or damaged one is told of and passed over."""
        for folder in reversed(self._numbered()):
            try:
                return folder, _verified(folder)
            except StateError as error:
                _log.error("%s; taking the one before", error)
        return None

    def _numbered(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.name.isdigit())

    def _next(self) -> int:
        return max((int(path.name) for path in self._numbered()), default=0) + 1


def read_manifest(folder: Path) -> CheckpointManifest:
    """Read a checkpoint's manifest.

    Raises:
        StateError: it is missing, damaged, or of another format.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=CheckpointManifest)
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(f"checkpoint {folder.name}: expected {MANIFEST}, got {error}; remove the folder") from error
    if manifest.format != FORMAT:
        raise StateError(f"checkpoint {folder.name}: expected format {FORMAT}, got {manifest.format}; start anew")
    return manifest


def _verified(folder: Path) -> CheckpointManifest:
    manifest = read_manifest(folder)
    for part in manifest.ranks:
        try:
            content = (folder / part.file).read_bytes()
        except OSError as error:
            raise StateError(
                f"checkpoint {folder.name}: expected {part.file}, got {error.strerror}; remove it"
            ) from error
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise StateError(f"checkpoint {folder.name}: expected {part.file} with its sha256, got another; remove it")
    return manifest


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
