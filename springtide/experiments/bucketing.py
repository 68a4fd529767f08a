"""Who sees which arm: salted hashes, layers and ranges.

A layer divides its users among experiments that must not overlap; a second, differently salted hash
divides an experiment's users among its arms. blake2b shows none of the cross-experiment correlation
of FNV v1 hashing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

BUCKETS = 1_000_000


def bucket(salt: str, unit: str) -> int:
    """Return the bucket of `unit` under `salt`, uniform in 0..BUCKETS-1 and the same on every machine."""
    digest = blake2b(f"{salt}:{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


@dataclass(frozen=True, slots=True)
class Range:
    """Buckets start <= b < end."""

    start: int
    end: int

    def __contains__(self, value: int) -> bool:
        return self.start <= value < self.end

    @property
    def share(self) -> float:
        """Share of all buckets."""
        return (self.end - self.start) / BUCKETS

    def overlaps(self, other: Self) -> bool:
        """Whether a bucket lies in both."""
        return self.start < other.end and other.start < self.end

    def problems(self, where: str) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if not 0 <= self.start <= self.end <= BUCKETS:
            yield f"{where}: expected 0 <= start <= end <= {BUCKETS}, got {self.start}..{self.end}; fix it"


@dataclass(frozen=True, slots=True)
class ArmRange:
    """One arm and its buckets."""

    name: str
    range: Range


def split(shares: Sequence[tuple[str, float]]) -> tuple[ArmRange, ...]:
    """Return adjoining arm ranges of the given shares; shares that sum to 1 leave no gap.

    Raises:
        ValueError: a share is negative or the sum exceeds 1.
    """
    total = sum(share for _, share in shares)
    if any(share < 0.0 for _, share in shares) or total > 1.0 + 1e-9:
        raise ValueError(f"split: expected shares >= 0 that sum to at most 1, got {total}; lower them")
    arms, reached = [], 0.0
    for name, share in shares:
        start, reached = round(reached * BUCKETS), reached + share
        arms.append(ArmRange(name, Range(start, min(round(reached * BUCKETS), BUCKETS))))
    return tuple(arms)


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """One experiment of a layer."""

    name: str
    salt: str
    """Salt of the arm hash; must differ from the layer's and from every other experiment's."""
    reserved: Range
    """Layer buckets that this experiment may ever use."""
    enrolled: float = 1.0
    """Share of the reserved buckets that is enrolled. Ramp this and leave the arms equal: moving arm
    weights mid-flight mixes young and old users unequally and biases every delayed metric."""
    arms: tuple[ArmRange, ...]

    @property
    def open_range(self) -> Range:
        """Layer buckets enrolled now; a larger share only ever adds users."""
        width = round((self.reserved.end - self.reserved.start) * self.enrolled)
        return Range(self.reserved.start, self.reserved.start + width)

    def arm(self, unit: str) -> str | None:
        """Return the arm of a user who is already enrolled; None in a gap between arms."""
        value = bucket(self.salt, unit)
        return next((arm.name for arm in self.arms if value in arm.range), None)

    @property
    def weights(self) -> dict[str, float]:
        """Share of enrolled users per arm."""
        return {arm.name: arm.range.share for arm in self.arms}

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        where = f"experiment {self.name}"
        yield from self.reserved.problems(f"{where}.reserved")
        if not 0.0 <= self.enrolled <= 1.0:
            yield f"{where}.enrolled: expected 0 to 1, got {self.enrolled}; use a share"
        if len({arm.name for arm in self.arms}) < len(self.arms) or len(self.arms) < 2:
            yield f"{where}.arms: expected two or more distinct arms, got {len(self.arms)}; add or rename"
        for index, one in enumerate(self.arms):
            yield from one.range.problems(f"{where}.arms.{one.name}")
            for two in self.arms[index + 1 :]:
                if one.range.overlaps(two.range):
                    yield f"{where}.arms: expected disjoint ranges, got {one.name} over {two.name}; split them"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where a user landed."""

    layer: str
    experiment: str
    arm: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """Experiments of which a user joins at most one. Layers are independent of each other."""

    name: str
    salt: str
    experiments: tuple[Experiment, ...] = ()

    def assign(self, unit: str) -> Assignment | None:
        """Return the user's experiment and arm in this layer, or None when not enrolled."""
        value = bucket(self.salt, unit)
        for experiment in self.experiments:
            if value in experiment.open_range:
                arm = experiment.arm(unit)
                return None if arm is None else Assignment(self.name, experiment.name, arm)
        return None

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        salts = [self.salt, *(experiment.salt for experiment in self.experiments)]
        if len(set(salts)) < len(salts):
            yield f"layer {self.name}: expected distinct salts, got a repeat; a shared salt ties arms together"
        for index, one in enumerate(self.experiments):
            yield from one.problems()
            for two in self.experiments[index + 1 :]:
                if one.reserved.overlaps(two.reserved):
                    yield f"layer {self.name}: expected disjoint reserved ranges, got {one.name} over {two.name}"
