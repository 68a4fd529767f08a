"""Ctrl-C: the first asks for an orderly end, the second for an end at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """Set once SIGINT, SIGTERM or SIGHUP has come; a second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def install(self) -> Interrupt:
        """Take the signals over; main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    @property
    def asked(self) -> bool:
        """Whether an end was asked for."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep until an end is asked for or the time has passed; true: asked for."""
        return self._asked.wait(seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._asked.is_set():
            self._asked.set()
            return
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt
