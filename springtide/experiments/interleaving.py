"""Team-draft interleaving: two rankings share one slate and compete for its clicks.

Radlinski, Kurup and Joachims 2008. It needs far fewer users than two arms because every user is
their own control; use it to prune candidates before an A/B test measures the size of the effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr


@dataclass(frozen=True, slots=True)
class Draft:
    """A mixed slate; `teams[i]` is "A" or "B", the ranking credited with position i."""

    items: tuple[str, ...]
    teams: tuple[str, ...]


def team_draft(
    ranking_a: Sequence[str], ranking_b: Sequence[str], length: int, generator: np.random.Generator
) -> Draft:
    """Return a slate of up to `length` distinct items.

    The team with fewer picks goes next and a coin breaks ties; each takes its best unused item. A
    team that has run out passes. Derive the generator from the request id to make the slate repeatable.
    """
    rankings = {"A": ranking_a, "B": ranking_b}
    reached = {"A": 0, "B": 0}
    picks = {"A": 0, "B": 0}
    items: list[str] = []
    teams: list[str] = []
    used: set[str] = set()
    while len(items) < length:
        for team, ranking in rankings.items():
            while reached[team] < len(ranking) and ranking[reached[team]] in used:
                reached[team] += 1
        able = [team for team in rankings if reached[team] < len(rankings[team])]
        if not able:
            break
        team = _next_team(able, picks, generator)
        item = rankings[team][reached[team]]
        used.add(item)
        items.append(item)
        teams.append(team)
        picks[team] += 1
    return Draft(tuple(items), tuple(teams))


def _next_team(able: list[str], picks: dict[str, int], generator: np.random.Generator) -> str:
    if len(able) == 1:
        return able[0]
    if picks["A"] != picks["B"]:
        return "A" if picks["A"] < picks["B"] else "B"
    return "A" if generator.random() < 0.5 else "B"


@dataclass(frozen=True, slots=True)
class Preference:
    """Which ranking users prefer."""

    users: int
    mean_difference: float
    """Mean over users of credit A - credit B."""
    standard_error: float
    z: float
    p_value: float
    share_preferring_a: float
    """Among users with unequal credit; 0.5 when there are none."""


def preference(credit_a_U: ArrayLike, credit_b_U: ArrayLike) -> Preference | None:
    """Return the paired test over users, from credits (clicks, or purchases in closed windows) per user.

    None below two users.

    Raises:
        ValueError: the two credits are not one value per user each.
    """
    a, b = np.asarray(credit_a_U, np.float64), np.asarray(credit_b_U, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"preference: expected two arrays of shape (U,), got {a.shape} and {b.shape}; align them")
    if len(a) < 2:
        return None
    difference = a - b
    mean = float(difference.mean())
    error = float(difference.std(ddof=1)) / sqrt(len(a))
    z = mean / error if error > 0.0 else 0.0
    decided = int((difference != 0.0).sum())
    share = float((difference > 0.0).sum()) / decided if decided else 0.5
    return Preference(len(a), mean, error, z, 2.0 * float(ndtr(-abs(z))), share)
