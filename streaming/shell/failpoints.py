"""Where a test can let a worker die as if by SIGKILL, in the order of streaming/core.py's protocol."""

import os
from collections.abc import Callable
from typing import Final

from springtide.runtime import failpoints
from springtide.runtime.failpoints import EXIT_CODE, VARIABLE

__all__ = ["EXIT_CODE", "POINTS", "VARIABLE", "make", "reach"]

POINTS: Final = (
    "recovering",  # some of the changelog is read
    "recovered",
    "merging",  # a record is about to be taken in
    "collected",  # rows are made, none is sent
    "row-batch-acknowledged",  # some rows are there, perhaps not all
    "rows-acknowledged",
    "settled",  # writes are made, none is sent
    "changelog-batch-acknowledged",  # some entries are there, perhaps not the partition's own
    "changelog-acknowledged",
    "released",
    "committing",
    "committed",
    "revoking",  # partitions are being taken away
)


def make(setting: str) -> Callable[[str], None]:
    """Make the function that every point calls; see springtide/runtime/failpoints.py."""
    return failpoints.make(setting, POINTS)


reach: Final = make(os.environ.get(VARIABLE, ""))
"""Pass a point."""
