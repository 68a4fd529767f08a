"""Where a test can let the driver or a rank die as if by SIGKILL, in the order of a publication."""

import os
from typing import Final

from springtide.runtime.failpoints import VARIABLE, make

POINTS: Final = (
    "read",  # rows are taken in, none is learned
    "stepping",  # some steps of a call are made, perhaps not all
    "judged",  # what is served is compared with what is proven
    "exported",  # a rank's part of a bundle is taken
    "bundle-written",
    "bundle-admitted",
    "restored",  # a chain is what it was, and no checkpoint knows
    "rank-saved",  # one rank's part of a checkpoint is on the disk, perhaps not all
    "checkpoint-written",  # all of it, beside
    "checkpoint-renamed",
    "announcing",  # a checkpoint knows the version, nobody else does
    "announced",
)

reach: Final = make(os.environ.get(VARIABLE, ""), POINTS)
"""Pass a point."""
