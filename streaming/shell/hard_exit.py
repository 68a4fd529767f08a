"""The end of a process that may not go on: at once, with a cause, without tidying up and so without committing."""

import logging
import os
import sys
from typing import NoReturn

from springtide.contracts.errors import ExitCode

_log = logging.getLogger(__name__)


def hard_exit(code: ExitCode, message: str) -> NoReturn:
    """End the process; what it had not committed is done again by the next one."""
    _log.critical("%s; ending with exit code %d (docs/runbook.md)", message, code)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
