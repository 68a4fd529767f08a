"""The wall clock, as an object, so that tests can hold it. It only paces and times out; event time decides results."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class ManualClock:
    """A clock that moves when told."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._now_ms / 1000

    def advance_ms(self, milliseconds: int) -> None:
        """Let time pass."""
        self._now_ms += milliseconds
