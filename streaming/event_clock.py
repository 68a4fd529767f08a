"""Event times for people."""

from datetime import UTC, datetime


def as_clock(time_ms: int | None) -> str:
    """Write an event time for people."""
    if time_ms is None:
        return "no event yet"
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
