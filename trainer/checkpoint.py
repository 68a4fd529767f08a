"""Checkpoints: folders written beside, synced and renamed; the newest whole one is the truth at start.

`{folder}/{number}/` holds `rank-N.safetensors` per rank, `checkpoint.json` with the checksum of each, and its own in
`checkpoint.sha256`. A disk that is full, a torn file and a flipped bit each leave the checkpoint before as the newest.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from springtide.contracts.errors import StateError
from trainer.failpoints import reach
from trainer.messages import SavedRank

MANIFEST: Final = "checkpoint.json"
DIGEST: Final = "checkpoint.sha256"
"""Of the manifest; checkpoints of older releases have none."""
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
        """Return an empty folder to write the ranks' files into; left-overs of a killed attempt go.

        Raises:
            StateError: the disk has no room for it.
        """
        for torn in self._folder.glob(".writing-*"):
            shutil.rmtree(torn)
        beside = self._folder / f".writing-{self.next_number:08d}"
        try:
            beside.mkdir()
        except OSError as error:
            raise StateError(
                f"checkpoint: expected room for {beside.name}, got {error.strerror}; free some, the one before stays"
            ) from error
        return beside

    def commit(
        self,
        beside: Path,
        ranks: Sequence[SavedRank],
        driver: dict[str, Any],
        model_config: dict[str, Any],
        pinned: Collection[int] = (),
    ) -> Path:
        """Make what was begun the newest checkpoint: whole, or not at all.

        Args:
            beside: as `begin` gave it.
            ranks: what each rank has written into it.
            driver: the driver's own state.
            model_config: of the model.
            pinned: numbers that stay however old they are.

        Raises:
            StateError: the disk has no room for it.
        """
        number = int(beside.name.removeprefix(".writing-"))
        manifest = CheckpointManifest(number=number, model_config=model_config, driver=driver, ranks=list(ranks))
        content = msgspec.json.encode(manifest)
        write_synced(beside / MANIFEST, content)
        write_synced(beside / DIGEST, hashlib.sha256(content).hexdigest().encode())
        _sync(beside)
        final = self._folder / f"{number:08d}"
        reach("checkpoint-written")
        beside.rename(final)
        reach("checkpoint-renamed")
        _sync(self._folder)
        for old in self._numbered()[: -self._kept]:
            if int(old.name) not in pinned:
                shutil.rmtree(old)
        return final

    def give_up(self, beside: Path) -> None:
        """Remove what was begun, so that a full disk is not kept full by half a checkpoint."""
        shutil.rmtree(beside, ignore_errors=True)

    def newest(self) -> tuple[Path, CheckpointManifest] | None:
        """Return the newest whole checkpoint, or None; a torn or damaged one is told of and passed over."""
        for folder in reversed(self._numbered()):
            try:
                return folder, _verified(folder)
            except StateError as error:
                _log.error("%s; taking the one before", error)
        return None

    def whole(self, number: int) -> Path | None:
        """Return a checkpoint by its number, or None where it is gone or damaged, which is told of."""
        folder = self._folder / f"{number:08d}"
        try:
            _verified(folder)
        except StateError as error:
            _log.error("%s; going on without it", error)
            return None
        return folder

    @property
    def next_number(self) -> int:
        """The number that the next checkpoint will have."""
        return max((int(path.name) for path in self._numbered()), default=0) + 1

    def _numbered(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.name.isdigit())


def read_manifest(folder: Path) -> CheckpointManifest:
    """Read a checkpoint's manifest.

    Raises:
        StateError: it is missing, damaged, or of another format.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
        digest = folder / DIGEST
        if digest.exists() and digest.read_bytes() != hashlib.sha256(content).hexdigest().encode():
            raise StateError(f"checkpoint {folder.name}: expected {MANIFEST} with its sha256, got another; remove it")
        manifest = msgspec.json.decode(content, type=CheckpointManifest)
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(f"checkpoint {folder.name}: expected {MANIFEST}, got {error}; remove the folder") from error
    if manifest.format != FORMAT:
        raise StateError(f"checkpoint {folder.name}: expected format {FORMAT}, got {manifest.format}; start anew")
    return manifest


def write_synced(path: Path, content: bytes) -> None:
    """Write a file of a checkpoint and see it on the disk.

    Raises:
        StateError: it cannot be written, most likely for want of room.
    """
    try:
        with path.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StateError(
            f"checkpoint: expected room for {len(content):,} bytes of {path.name}, got {error.strerror}; "
            "free some, the checkpoint before stays"
        ) from error


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
