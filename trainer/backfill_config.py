"""Section `[backfill]`, and the days that it chooses. Reaches no torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from springtide.contracts.errors import ConfigError
from trainer.days import day_number, day_text


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillConfig:
    """Which days a chain is rebuilt from, and where it goes."""

    first_day: str = ""
    """Oldest day, UTC, such as 2026-01-05; empty: the oldest archived."""
    last_day: str = ""
    """Newest day, which is learned too; empty: the newest archived."""
    allow_gaps: bool = False
    """Pass over days that are not archived: nobody came on them."""
    out: str = "backfill"
    """Folder of the rebuilt bundles and checkpoints, beneath process.state_folder unless absolute."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        sound = True
        for key in ("first_day", "last_day"):
            text = getattr(self, key)
            try:
                day_number(text or "1970-01-01")
            except ValueError:
                sound = False
                yield f"backfill.{key}: expected a day such as 2026-01-05, got {text!r}; mend it"
        if sound and self.first_day and self.last_day and day_number(self.first_day) > day_number(self.last_day):
            yield f"backfill.last_day: expected {self.first_day} or later, got {self.last_day}; swap them"


def chosen_days(config: BackfillConfig, archived: Sequence[int], root: str) -> list[int]:
    """Return the days to learn, ascending.

    Args:
        config: what is wanted.
        archived: the days that there are, ascending.
        root: of the archive, for messages.

    Raises:
        ConfigError: the archive lacks a day that is wanted.
    """
    if not archived:
        raise ConfigError(
            [f"archive {root}: expected archived days, got none; a trainer with trainer.archive set writes them"]
        )
    first = day_number(config.first_day) if config.first_day else archived[0]
    last = day_number(config.last_day) if config.last_day else archived[-1]
    days = [day for day in archived if first <= day <= last]
    missing = [day for day in range(first, last + 1) if day not in set(days)]
    if not days or (missing and not config.allow_gaps):
        held = f"{day_text(archived[0])} to {day_text(archived[-1])}"
        raise ConfigError(
            [
                f"archive {root}: expected every day from {day_text(first)} to {day_text(last)}, got none of "
                f"{_listed(missing or [first])}; it holds {len(archived)} days of {held}; choose among them, or pass "
                "--allow-gaps where nobody came on a missing day"
            ]
        )
    return days


def _listed(days: Sequence[int]) -> str:
    told = ", ".join(day_text(day) for day in days[:3])
    return told if len(days) <= 3 else f"{told} and {len(days) - 3} more"
