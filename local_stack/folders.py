"""Where the stack keeps things: the state of a run, and the cache that outlives it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from local_stack.errors import ForeignFolderError, from_os_error

STATE_VARIABLE = "SPRINGTIDE_STATE"
CACHE_VARIABLE = "SPRINGTIDE_CACHE"
MARKER = ".springtide-state"
"""This file in a folder says that we made it and may wipe it."""

BROKER_FOLDER = "broker"
"""The broker's part of the state folder."""
LOG_FOLDER = "logs"
"""What the processes print, beneath the state folder."""


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of a run's state: SPRINGTIDE_STATE, or `.springtide` here."""
    return Path(environ.get(STATE_VARIABLE) or ".springtide").absolute()


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of fetched jars: SPRINGTIDE_CACHE, or the user's cache folder."""
    chosen = environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Path(base) / "springtide"


def claim(folder: Path) -> None:
    """Make the state folder, or accept one that we made before.

    Raises:
        ForeignFolderError: it exists, has something in it, and lacks our marker.
        DiskFullError, NotWritableError: it cannot be written.
    """
    _require_ours(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text("Made by springtide; `make clean-state` removes it.\n")
    except OSError as problem:
        raise from_os_error(str(folder), problem) from problem


def wipe(folder: Path, *, keep: Collection[str] = ()) -> bool:
    """Remove the state folder, or all of it but the names in `keep`; return whether there was one.

    Raises:
        ForeignFolderError: it lacks our marker.
        NotWritableError: something in it cannot be removed.
    """
    if not folder.exists():
        return False
    _require_ours(folder)
    try:
        for path in folder.iterdir():
            if path.name not in keep and path.name != MARKER:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if not keep:
            shutil.rmtree(folder)  # the marker goes last, so that an interrupted wipe can be repeated
    except OSError as problem:
        raise from_os_error(str(folder), problem) from problem
    return True


def _require_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ForeignFolderError(f"{folder}: expected a folder, got a file; move it away")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise ForeignFolderError(
            f"{folder}: expected a folder made by springtide (with the file {MARKER}), got another; "
            "set SPRINGTIDE_STATE to a new folder"
        )
