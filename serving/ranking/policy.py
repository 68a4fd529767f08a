"""From fused scores to a slate: exploration per position, with the exact probability of what was done.

Position by position, the best candidate left is placed with probability 1 - epsilon; else one drawn evenly from all
that are left, the best among them. With n candidates left, the item placed had the probability

    (1 - epsilon) * [it was the best left] + epsilon / n

given the candidates and what stands above it. The product over positions is the probability of the whole slate, so
weights for off-policy estimates are products of ratios; a single ratio serves per-position estimates under the same
prefix. The draws come from the request id: a repeated request explores alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.ranking.seeded import seeded


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """A slate as candidate places (index into the candidates) and the propensity of each."""

    places: tuple[int, ...]
    propensities: tuple[float, ...]


def place(fused: Sequence[float], *, size: int, epsilon: float, request_id: str) -> Placement:
    """Fill `size` positions, or as many as there are candidates.

    Args:
        fused: one score per candidate, higher is better; equals keep the candidates' order.
        size: positions wanted.
        epsilon: probability that a position explores, 0 to 1.
        request_id: seeds the draws.
    """
    left = sorted(range(len(fused)), key=lambda place: -fused[place])
    draws = seeded("policy", request_id)
    places, propensities = [], []
    for _ in range(min(size, len(left))):
        explore, draw = draws.random(), draws.random()
        spot = int(draw * len(left)) if explore < epsilon else 0
        propensities.append((1.0 - epsilon) * (spot == 0) + epsilon / len(left))
        places.append(left.pop(spot))
    return Placement(places=tuple(places), propensities=tuple(propensities))
