"""PE-LTR (Lin et al. 2019): the weights whose combined gradient is shortest, with floors. Shapes: T tasks.

    min over w of || sum_k w_k g_k ||^2    with  sum_k w_k = 1,  w_k >= c_k >= 0

where g_k is task k's gradient. At the minimum either the combined gradient is 0 or it lowers every task that is above
its floor. With the Gram matrix G_kl = g_k . g_l it is a convex quadratic programme in T variables. The paper drops
positivity, inverts a matrix and projects the result back; the inverse does not exist where gradients are parallel or
zero, and a projection of the free minimum need not be the minimum. Here it is solved exactly: for every set of tasks
held at their floors the others follow from the linear equations

    G_ff w_f + G_fc c_c + m 1 = 0,    1 . w_f = 1 - sum of the floors held

by least squares, which has an answer for singular G too, and the shortest of those that keep all floors is taken. One
of them is the minimum: the minimum holds some set at its floors, and where its equations have many answers, the least
squares one or one on a smaller face is as short. There are 2^T - 1 sets: meant for a handful of tasks.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SLACK = 1e-9
"""Rounding allowed below a floor, and gain below which a set with more tasks at their floors is not preferred."""


def min_norm_weights(gram_TT: Floats, floors_T: Floats) -> Floats:
    """Return w, (T,), at least the floors and adding up to 1.

    Args:
        gram_TT: products of the tasks' gradients; singular or zero is fine.
        floors_T: c, each at least 0, adding up to at most 1.

    Where all gradients are zero the tasks share alike what the floors leave.
    """
    scale = float(np.trace(gram_TT))
    best: Floats = floors_T + (1.0 - floors_T.sum()) / len(floors_T)
    least = np.inf
    if scale <= 0.0:
        return best
    scaled_TT = gram_TT / scale
    for candidate_T in _candidates(scaled_TT, floors_T):
        length = float(candidate_T @ scaled_TT @ candidate_T)
        if length < least - _SLACK:
            best, least = candidate_T, length
    best = np.maximum(best, floors_T)
    above = best - floors_T
    free = 1.0 - floors_T.sum()
    weights_T: Floats = floors_T + above * (free / above.sum() if above.sum() > 0.0 else 0.0)
    return weights_T


def weights_of_present(gram_TT: Floats, floors_T: Floats, present_T: Flags) -> Floats:
    """Return `min_norm_weights` among the tasks that are present, 0 for the others, (T,).

    A task without rows in a batch has a gradient of 0: the shortest combination would be that task alone, and the step
    would teach nothing.
    """
    weights_T = np.zeros(len(floors_T))
    if present_T.any():
        weights_T[present_T] = min_norm_weights(gram_TT[np.ix_(present_T, present_T)], floors_T[present_T])
    return weights_T


def _candidates(gram_TT: Floats, floors_T: Floats) -> Iterator[Floats]:
    """Yield the best point of each face of the simplex above the floors, the whole one first, then smaller ones."""
    tasks = len(floors_T)
    for size in range(tasks, 0, -1):
        for free in combinations(range(tasks), size):
            chosen = list(free)
            held = [task for task in range(tasks) if task not in free]
            system = np.ones((size + 1, size + 1))
            system[:size, :size] = gram_TT[np.ix_(chosen, chosen)]
            system[size, size] = 0.0
            wanted = np.append(-gram_TT[np.ix_(chosen, held)] @ floors_T[held], 1.0 - floors_T[held].sum())
            weights_T = floors_T.copy()
            weights_T[chosen] = np.linalg.lstsq(system, wanted, rcond=1e-10)[0][:size]
            if (weights_T >= floors_T - _SLACK).all():
                yield weights_T
