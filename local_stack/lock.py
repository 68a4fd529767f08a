"""One front at a time per state folder: a file lock that the system frees even after kill -9."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from local_stack.errors import AlreadyRunningError

LOCK = "front.lock"


def take_lock(state: Path) -> IO[str]:
    """Lock the state folder for this process; the lock holds while the returned file is open.

    Raises:
        AlreadyRunningError: another process holds it.
    """
    file = (state / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        file.close()
        raise AlreadyRunningError(
            f"{state}: expected no other run here, got one (process {holder(state)}); stop it with "
            "Ctrl-C or `springtide stop`, or set SPRINGTIDE_STATE to another folder"
        ) from problem
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(state: Path) -> int:
    """Return the process that holds the lock, or 0 when none does."""
    try:
        with (state / LOCK).open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read().strip() or 0)
    except OSError:
        pass
    return 0
