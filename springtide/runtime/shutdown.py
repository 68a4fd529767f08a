"""A clean end on SIGINT and SIGTERM: the first asks, the second does not wait."""

import logging
import os
import signal
import threading
from types import FrameType

from springtide.contracts.errors import ExitCode

_log = logging.getLogger(__name__)


class Shutdown:
    """Set once a signal has asked the process to end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def install(self) -> "Shutdown":
        """Take over SIGINT and SIGTERM; main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._event.is_set():
            os._exit(ExitCode.INTERRUPTED)
        _log.info("stopping on %s; once more ends at once", signal.Signals(number).name)
        self._event.set()

    def request(self) -> None:
        """Ask for the end from inside."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until the end is asked for or the time has passed; true: asked for."""
        return self._event.wait(seconds)
