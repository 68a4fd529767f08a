"""Named points at which a test can let the process die as if by SIGKILL.

`SPRINGTIDE_FAILPOINT=NAME:HIT` ends the process the HIT-th time that it reaches NAME; without the variable a point is
a call of an empty function. Each process lists its own names.
"""

import os
from collections.abc import Callable, Sequence
from typing import Final

VARIABLE: Final = "SPRINGTIDE_FAILPOINT"
EXIT_CODE: Final = 86
"""Of a process that ended at its point; no cause of springtide.contracts.errors has it."""


def make(setting: str, points: Sequence[str]) -> Callable[[str], None]:
    """Make the function that every point calls.

    Args:
        setting: `NAME:HIT`, or empty.
        points: the names that there are.

    Raises:
        ValueError: no such point, or no number.
    """
    if not setting:
        return _pass
    name, _, hit = setting.partition(":")
    if name not in points or not hit.isdigit() or hit == "0":
        raise ValueError(f"{VARIABLE}: expected NAME:HIT with a name of {', '.join(points)}, got {setting!r}; mend it")
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
