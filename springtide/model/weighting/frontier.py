"""PE-LTR's frontier: a model per choice of floors, and the one to take. Shapes: R runs, T tasks.

Each choice of floors c leads training to another point on the trade-off between tasks (Lin et al. 2019). The sweep is
a grid over the simplex that the floors may share; training is the caller's. Qualities are numbers per task of which
more is better, such as an AUC or minus a loss.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def sweep_floors(tasks: int, steps: int, total: float) -> Floats:
    """Return choices of floors that share out `total` in units of total / steps, (R, T); R = C(steps + T - 1, T - 1).

    Args:
        tasks: T, at least 1.
        steps: parts that are dealt out, at least 1.
        total: what the floors of each choice add up to, above 0 to 1; at 1 they are fixed weights.

    Raises:
        ValueError: an argument is outside its range.
    """
    if tasks < 1 or steps < 1 or not 0.0 < total <= 1.0:
        got = f"{tasks}, {steps} and {total}"
        raise ValueError(f"sweep_floors: expected tasks and steps >= 1 and a total above 0 to 1, got {got}; mend it")
    shares = []
    for bars in combinations(range(steps + tasks - 1), tasks - 1):  # stars and bars
        edges = (-1, *bars, steps + tasks - 1)
        shares.append([after - before - 1 for before, after in zip(edges, edges[1:], strict=False)])
    floors_RT: Floats = np.array(shares, np.float64) * total / steps
    return floors_RT


def frontier(qualities_RT: Floats) -> Flags:
    """Return which runs no other run dominates, bool (R,).

    A run dominates another where it is at least as good in every task and better in one; equal runs both stay.
    """
    at_least_RR = (qualities_RT[:, None] >= qualities_RT[None, :]).all(axis=2)
    better_RR = (qualities_RT[:, None] > qualities_RT[None, :]).any(axis=2)
    beaten_R: Flags = np.asarray((at_least_RR & better_RR).any(axis=0))
    return ~beaten_R


def least_misery(qualities_RT: Floats) -> int:
    """Return the run whose worst-off task is best off; among equals, the next worst-off decides, and so on.

    Least Misery (Lin et al. 2019) takes max_r min_t u_rt. Tasks' qualities are not on one scale, so u is a task's place
    between its worst and its best on the frontier, 0 to 1 (1 where all are equal). Only runs of the frontier are taken.

    Raises:
        ValueError: there is no run.
    """
    if len(qualities_RT) == 0:
        raise ValueError("least_misery: expected one run or more, got none; train some")
    kept = np.flatnonzero(frontier(qualities_RT))
    return int(kept[_most_even(_places(qualities_RT[kept]))])


def _places(qualities_RT: Floats) -> Floats:
    worst_T, best_T = qualities_RT.min(axis=0), qualities_RT.max(axis=0)
    span_T = best_T - worst_T
    places_RT: Floats = np.where(span_T > 0.0, (qualities_RT - worst_T) / np.where(span_T > 0.0, span_T, 1.0), 1.0)
    return places_RT


def _most_even(places_RT: Floats) -> int:
    """Return the row that is greatest when each row's numbers are sorted and compared from the least on."""
    return max(range(len(places_RT)), key=lambda run: tuple(np.sort(places_RT[run]).tolist()))
