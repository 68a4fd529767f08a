"""Ctrl-C: the first asks for an orderly end, a later one for an end at once.

Nothing is raised from the signal handler: whoever stops processes must not be torn out of it.
"""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

ONE_PRESS_S = 1.0
"""Signals within this time are one: a terminal, `make` and `timeout` may each pass the same one on."""


class Interrupt:
    """Set once SIGINT, SIGTERM or SIGHUP has come."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._first = 0.0
        self._hurried = False

    def install(self) -> Interrupt:
        """Take the signals over; main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    @property
    def asked(self) -> bool:
        """Whether an end was asked for."""
        return self._asked.is_set()

    @property
    def hurried(self) -> bool:
        """Whether it was asked for again."""
        return self._hurried

    def wait(self, seconds: float) -> bool:
        """Sleep until an end is asked for or the time has passed; true: asked for."""
        return self._asked.wait(seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._asked.is_set():
            self._first = time.monotonic()
            self._asked.set()
        elif time.monotonic() - self._first > ONE_PRESS_S:
            self._hurried = True
