"""The `springtide` command: a thin front over the processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from local_stack.command.parser import make_parser
from springtide.contracts.errors import ExitCode, SpringtideError


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code."""
    given = make_parser().parse_args(arguments)
    try:
        return int(given.act(given))
    except SpringtideError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
