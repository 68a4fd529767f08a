"""What can go wrong with the embedded stack, each cause with its own exit code.

StackError
├── PortTakenError        something else listens on a port that the stack needs
├── NoJavaError           no Java of at least version 17
├── ChecksumError         a jar is not the one whose digest is locked
├── DiskFullError         too little room on the disk
├── NotWritableError      a folder cannot be written
├── ForeignFolderError    a folder at the state's place was not made by us
├── DownloadError         a jar could not be fetched
├── BrokerFailedError     the broker ended, or was not ready in time
├── ProcessFailedError    a process gave up, or was not ready in time
├── AlreadyRunningError   another run uses the same state folder
└── NotRunningError       a command needs a running stack, and there is none
"""

from __future__ import annotations

import errno
from typing import ClassVar

from springtide.contracts.errors import ExitCode, StackError


class _OneCause(StackError):
    """A StackError whose class fixes the exit code."""

    cause: ClassVar[ExitCode]

    def __init__(self, message: str) -> None:
        super().__init__(message, self.cause)


class PortTakenError(_OneCause):
    """Something else listens on a port that the stack needs."""

    cause = ExitCode.PORT_TAKEN


class NoJavaError(_OneCause):
    """No Java of at least version 17 was found."""

    cause = ExitCode.NO_JAVA


class ChecksumError(_OneCause):
    """A fetched jar is not the one whose digest is locked, or the lock file is torn."""

    cause = ExitCode.CHECKSUM


class DiskFullError(_OneCause):
    """The disk has too little room."""

    cause = ExitCode.DISK_FULL


class NotWritableError(_OneCause):
    """A folder cannot be written."""

    cause = ExitCode.STATE_UNWRITABLE


class ForeignFolderError(_OneCause):
    """What lies at the state folder's place was not made by us, so it stays untouched."""

    cause = ExitCode.STATE_UNWRITABLE


class DownloadError(_OneCause):
    """A jar could not be fetched."""

    cause = ExitCode.DOWNLOAD


class BrokerFailedError(_OneCause):
    """The broker ended, or was not ready in time."""

    cause = ExitCode.BROKER


class ProcessFailedError(_OneCause):
    """A process of the stack gave up, or was not ready in time."""

    cause = ExitCode.PROCESS_FAILED


class AlreadyRunningError(_OneCause):
    """Another run uses the same state folder."""

    cause = ExitCode.ALREADY_RUNNING


class NotRunningError(_OneCause):
    """A command needs a running stack, and there is none."""

    cause = ExitCode.NOT_RUNNING


def from_os_error(where: str, problem: OSError) -> StackError:
    """Return the stack's error for what the operating system refused while writing `where`."""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"{where}: expected room on the disk, got none left; free some space")
    return NotWritableError(
        f"{where}: expected a writable folder, got {problem.strerror}; "
        "fix its owner, or set SPRINGTIDE_STATE or SPRINGTIDE_CACHE to another folder"
    )
