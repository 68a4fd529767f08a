"""Brings the broker's jars into the cache, through jgo, and lets none in whose digest is wrong.

jgo names the repository (Maven Central) and fetches; it only warns when a published checksum
differs, and leaves a partial file behind when a transfer breaks. So it downloads into a scratch
folder, and a jar moves into the cache by one rename once its digest is the locked one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from jgo.maven import MavenContext

from local_stack.broker.jar_lock import LockedJar, sha256_of
from local_stack.errors import ChecksumError, DownloadError, from_os_error

_PARALLEL_FETCHES = 6
_TIMEOUT_S = 60
_ROOM_MIB = 200

Progress = Callable[[str], None]


def ensure_jars(jars: Sequence[LockedJar], cache: Path, *, progress: Progress = lambda _: None) -> list[Path]:
    """Return the jars' paths in class path order, fetching those that the cache lacks.

    Every digest is checked, on each call. A cached jar with another digest is fetched again once.

    Raises:
        ChecksumError: a fetched jar has another digest than the locked one.
        DownloadError: a jar could not be fetched.
        DiskFullError, NotWritableError: the cache cannot be written.
    """
    folder = cache / "jars"
    missing = [jar for jar in jars if not _is_sound(folder / jar.file_name, jar)]
    if missing:
        progress(f"fetching {len(missing)} of {len(jars)} jars")
        _fetch_all(missing, folder, progress)
    return [folder / jar.file_name for jar in jars]


def fetch_jar(coordinate: str, scratch: Path) -> Path:
    """Fetch one jar by its Maven coordinate into `scratch` and return its path.

    Raises:
        DownloadError: the repository did not answer, or does not have it.
    """
    context = MavenContext(repo_cache=scratch, timeout=_TIMEOUT_S)
    try:
        return Path(context.create_dependency(coordinate).artifact.resolve())
    except (requests.RequestException, RuntimeError) as problem:
        raise DownloadError(
            f"{coordinate}: expected it from Maven Central, got {type(problem).__name__}: "
            f"{problem}; check the network and try again"
        ) from problem


def _is_sound(path: Path, jar: LockedJar) -> bool:
    return path.is_file() and sha256_of(path) == jar.sha256


def _fetch_all(jars: Sequence[LockedJar], folder: Path, progress: Progress) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free_mib = shutil.disk_usage(folder).free // 2**20
        if free_mib < _ROOM_MIB:
            raise OSError(28, f"{free_mib} MiB free")
        with (
            tempfile.TemporaryDirectory(prefix="fetch-", dir=folder.parent) as scratch,
            ThreadPoolExecutor(_PARALLEL_FETCHES) as pool,
        ):
            done = pool.map(lambda jar: _fetch_one(jar, folder, Path(scratch)), jars)
            for number, jar in enumerate(done, start=1):
                progress(f"{number}/{len(jars)} jars fetched ({jar.coordinate})")
    except OSError as problem:
        raise from_os_error(str(folder), problem) from problem


def _fetch_one(jar: LockedJar, folder: Path, scratch: Path) -> LockedJar:
    fetched = fetch_jar(jar.coordinate, scratch)
    digest = sha256_of(fetched)
    if digest != jar.sha256:
        raise ChecksumError(
            f"{jar.coordinate}: expected sha256 {jar.sha256}, got {digest}; do not run it: "
            "try again, and if it stays so, find out who changed the file"
        )
    os.replace(fetched, folder / jar.file_name)
    return jar
