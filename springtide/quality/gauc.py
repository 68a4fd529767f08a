"""GAUC: AUC inside each group (a user, a slate), averaged by the group's rows.

Zhu et al. 2017 (arXiv 1706.06978), eq. 4. Ties get half credit; groups with one class are left out
and their share is reported.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from springtide.quality.auc import exact_auc
from springtide.quality.rows import State, as_rows


def _rank(group: str) -> int:
    return int.from_bytes(blake2b(group.encode(), digest_size=8).digest(), "big")


@dataclass(slots=True)
class GroupRows:
    """The first rows of one group."""

    rank: int
    probabilities: list[float] = field(default_factory=list)
    labels: list[float] = field(default_factory=list)

    def joined(self, later: GroupRows, limit: int) -> GroupRows:
        """Return these rows followed by `later`, cut to `limit`: a prefix, so merging is associative."""
        return GroupRows(
            self.rank,
            (self.probabilities + later.probabilities)[:limit],
            (self.labels + later.labels)[:limit],
        )


def smallest_ranks(groups: dict[str, GroupRows], limit: int) -> dict[str, GroupRows]:
    """Return at most `limit` groups, those of smallest rank."""
    if len(groups) <= limit:
        return groups
    return dict(sorted(groups.items(), key=lambda pair: pair[1].rank)[:limit])


@dataclass(slots=True)
class GroupedAuc:
    """Exact per-group AUC in bounded memory.

    Past `max_groups` it keeps the groups with the smallest hash: an unbiased sample of groups that
    does not depend on arrival order, so merging stays associative.
    """

    max_groups: int = 20_000
    max_rows_per_group: int = 500
    rows_seen: int = 0
    groups: dict[str, GroupRows] = field(default_factory=dict)

    def update(self, probabilities_N: ArrayLike, labels_N: ArrayLike, groups_N: Sequence[Hashable]) -> None:
        """Add N rows with the group (a user id) of each; errors as in `as_rows`."""
        p, y, _ = as_rows(probabilities_N, labels_N)
        if len(groups_N) != len(p):
            raise ValueError(f"groups_N: expected {len(p)} rows, got {len(groups_N)}; pass one per probability")
        for group, probability, label in zip(map(str, groups_N), p.tolist(), y.tolist(), strict=True):
            rows = self.groups.get(group)
            if rows is None:
                rows = self.groups[group] = GroupRows(_rank(group))
            if len(rows.labels) < self.max_rows_per_group:
                rows.probabilities.append(probability)
                rows.labels.append(label)
        self.rows_seen += len(p)
        self.groups = smallest_ranks(self.groups, self.max_groups)

    def merge(self, other: Self) -> Self:
        """Return the measure of both row sets.

        Raises:
            ValueError: the bounds differ, so the two samples are not comparable.
        """
        bounds = (self.max_groups, self.max_rows_per_group)
        if bounds != (other.max_groups, other.max_rows_per_group):
            raise ValueError(f"GroupedAuc: expected equal bounds {bounds}; build both with the same configuration")
        merged = type(self)(*bounds, self.rows_seen + other.rows_seen)
        for group, rows in [*self.groups.items(), *other.groups.items()]:
            mine = merged.groups.get(group, GroupRows(rows.rank))
            merged.groups[group] = mine.joined(rows, self.max_rows_per_group)
        merged.groups = smallest_ranks(merged.groups, self.max_groups)
        return merged

    @property
    def rows_dropped(self) -> int:
        """Rows left out by the two bounds."""
        return self.rows_seen - sum(len(rows.labels) for rows in self.groups.values())

    def summary(self) -> tuple[float | None, float]:
        """Return (GAUC or None, share of kept groups that hold both classes)."""
        total = weighted = 0.0
        used = 0
        for rows in self.groups.values():
            auc = exact_auc(np.asarray(rows.probabilities), np.asarray(rows.labels))
            if auc is not None:
                used += 1
                total += len(rows.labels)
                weighted += len(rows.labels) * auc
        share = used / len(self.groups) if self.groups else 0.0
        return (weighted / total if total else None), share

    @property
    def value(self) -> float | None:
        """GAUC, or None when no group holds both classes."""
        return self.summary()[0]

    def to_dict(self) -> State:
        """Return the state as JSON-able values."""
        return {
            "max_groups": self.max_groups,
            "max_rows_per_group": self.max_rows_per_group,
            "rows_seen": self.rows_seen,
            "groups": {key: [rows.probabilities, rows.labels] for key, rows in self.groups.items()},
        }

    @classmethod
    def from_dict(cls, state: State) -> Self:
        """Return the measure that `to_dict` wrote."""
        groups = {
            key: GroupRows(_rank(key), list(probabilities), list(labels))
            for key, (probabilities, labels) in state["groups"].items()
        }
        return cls(int(state["max_groups"]), int(state["max_rows_per_group"]), int(state["rows_seen"]), groups)
