"""Per-user totals of one experiment, admitted to the statistics only once they can no longer change.

A confidence sequence needs each user to enter once with a final value. So a user counts what was
shown to them within `observation_ms` of their first exposure, and is admitted when that and the
attribution window of the last such impression have passed on the watermark. Under a ramp this also
keeps late enrolled users, whose labels are younger, from looking worse than early ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from springtide.experiments.moments import Moments

BEFORE = "before_"
"""Prefix of the columns that hold a user's totals from before the experiment, for CUPED."""


@dataclass(slots=True)
class UserRow:
    """What one user did."""

    arm: str = ""
    first_ms: int | None = None
    during: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class UserTotals:
    """Totals per user over named columns (impressions, click, purchase, ...)."""

    columns: tuple[str, ...]
    start_ms: int
    """Event time in ms at which the experiment starts; earlier impressions are covariates."""
    observation_ms: int
    """Event time in ms after first exposure in which impressions count."""
    attribution_ms: int
    """Longest label delay in ms of the columns; 0 for columns without delayed labels."""
    users: dict[str, UserRow] = field(default_factory=dict)
    arm_conflicts: int = 0
    """Additions left out because the user was seen in another arm before."""
    after_observation: int = 0
    """Additions left out because the user's observation was over."""

    def add(self, user: str, arm: str, impression_time_ms: int, values: Mapping[str, float]) -> None:
        """Add a shown slate, or labels of one, dated by the *impression*, in any order after exposure.

        Raises:
            KeyError: a value's column is unknown.
        """
        unknown = set(values) - set(self.columns)
        if unknown:
            raise KeyError(f"UserTotals: expected columns {self.columns}, got {sorted(unknown)}; declare them")
        row = self.users.setdefault(user, UserRow())
        if impression_time_ms < self.start_ms:
            accumulate(row.before, values)
            return
        if row.first_ms is None:
            row.first_ms, row.arm = impression_time_ms, arm
        if arm != row.arm:
            self.arm_conflicts += 1
        elif impression_time_ms >= row.first_ms + self.observation_ms:
            self.after_observation += 1
        else:
            accumulate(row.during, values)

    def admitted(self, watermark_ms: int) -> list[UserRow]:
        """Return the exposed users whose totals are final at the watermark."""
        last_first_ms = watermark_ms - self.observation_ms - self.attribution_ms
        return [row for row in self.users.values() if row.first_ms is not None and row.first_ms <= last_first_ms]

    def moments(self, watermark_ms: int) -> dict[str, Moments]:
        """Return per arm the moments of the admitted users over all columns and their `before_` twins."""
        names = (*self.columns, *(BEFORE + column for column in self.columns))
        by_arm: dict[str, list[list[float]]] = {}
        for row in self.admitted(watermark_ms):
            values = [row.during.get(column, 0.0) for column in self.columns]
            values += [row.before.get(column, 0.0) for column in self.columns]
            by_arm.setdefault(row.arm, []).append(values)
        return {arm: Moments.of(**dict(zip(names, np.asarray(rows).T, strict=True))) for arm, rows in by_arm.items()}

    def exposed(self) -> dict[str, int]:
        """Return users exposed so far by arm, final or not: what a sample ratio test counts."""
        counts: dict[str, int] = {}
        for row in self.users.values():
            if row.first_ms is not None:
                counts[row.arm] = counts.get(row.arm, 0) + 1
        return counts


def accumulate(totals: dict[str, float], values: Mapping[str, float]) -> None:
    """Add values into totals by key."""
    for column, value in values.items():
        totals[column] = totals.get(column, 0.0) + value
