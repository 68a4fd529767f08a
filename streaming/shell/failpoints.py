"""Named points at which a test can let the process die as if by SIGKILL.

`SPRINGTIDE_FAILPOINT=NAME:HIT` ends the process the HIT-th time that it reaches NAME; without the variable a point is
a call of an empty function. `POINTS` lists the names, in the order of streaming/core.py's protocol.
"""

import os
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "SPRINGTIDE_FAILPOINT"
EXIT_CODE: Final = 86
"""Of a process that ended at its point; no cause of springtide.contracts.errors has it."""
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
    """Make the function that every point calls.

    Args:
        setting: `NAME:HIT`, or empty.

    Raises:
        ValueError: no such point, or no number.
    """
    if not setting:
        return _pass
    name, _, hit = setting.partition(":")
    if name not in POINTS or not hit.isdigit() or hit == "0":
        raise ValueError(f"{VARIABLE}: expected NAME:HIT with a name of {', '.join(POINTS)}, got {setting!r}; mend it")
    left = int(hit)

    def count(reached: str) -> None:
        nonlocal left
        if reached == name:
            left -= 1
            if left == 0:
                os._exit(EXIT_CODE)

    return count


def _pass(_name: str) -> None:
    pass


reach: Final = make(os.environ.get(VARIABLE, ""))
"""Pass a point."""
