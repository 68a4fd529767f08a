"""When a day of event time is complete, and when a bundle is due. Pure; event time alone decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from springtide.contracts.topics import DAY_MS


def day_of(event_time_ms: int) -> int:
    """Return the number of the UTC day since 1970."""
    return event_time_ms // DAY_MS


def day_end_ms(day: int) -> int:
    """Return the first millisecond after the day."""
    return (day + 1) * DAY_MS


def day_text(day: int) -> str:
    """Return a day as 2026-03-04."""
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")


def day_number(text: str) -> int:
    """Return the number of a day such as 2026-03-04.

    Raises:
        ValueError: the text is no day.
    """
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def complete_day(newest_final_ms: Mapping[int, int], partitions: int, margin_ms: int) -> int | None:
    """Return the newest day of which every final row must have been read, or None.

    Args:
        newest_final_ms: impression time of the newest final row per partition of `samples`.
        partitions: how many there are; a partition without any final row holds every day open.
        margin_ms: the joiner's workers are not in step, so rows of a day may follow later ones by this much.
    """
    if len(newest_final_ms) < partitions or not newest_final_ms:
        return None
    return day_of(min(newest_final_ms.values()) - margin_ms) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """When the minute chain publishes, by its newest impression learned."""

    first_base_after_ms: int
    """Event time after the chain's first row."""
    delta_every_ms: int
    """Event time between two publications."""

    def due(self, *, started_ms: int, newest_ms: int, published_ms: int | None) -> bool:
        """Tell whether to publish now.

        Args:
            started_ms: impression time of the first row ever learned.
            newest_ms: of the newest.
            published_ms: newest impression at the last publication; None before the first.
        """
        if published_ms is None:
            return newest_ms - started_ms >= self.first_base_after_ms
        return newest_ms - published_ms >= self.delta_every_ms
