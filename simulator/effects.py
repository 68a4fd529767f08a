"""What the scenario and live commands have changed, at one moment."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.scenario import Change
from springtide.contracts.tasks import TASKS, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Effects:
    """The changes in force; holds for one step of the story."""

    drift: dict[Task, float] = field(default_factory=lambda: dict.fromkeys(TASKS, 1.0))
    """Multiple of each task's conditional probability."""
    taste_shift: float = 0.0
    """How far tastes have moved to new ones, 0 to 1."""
    sale_share: float = 0.0
    """Share of items on sale."""
    price_factor: float = 1.0
    """Price of an item on sale, as a multiple of its list price."""
    delay_factor: float = 1.0
    """Multiple of the mean purchase delay."""
    lifts: dict[tuple[str, Task], float] = field(default_factory=dict)
    """Multiple of a task's conditional probability, per arm."""
    losses: dict[str, float] = field(default_factory=dict)
    """Share of an arm's users whose impressions are lost, per arm."""
    duplicates: float = 0.0
    """Share of events told twice."""
    out_of_order: float = 0.0
    """Share of events told late."""

    def lift(self, arms: Iterable[str], task: Task) -> float:
        """Give the product of the lifts that a slate's arms have on a task."""
        product = 1.0
        for arm in arms:
            product *= self.lifts.get((arm, task), 1.0)
        return product


def effects_at(changes: Iterable[Change], now_ms: int) -> Effects:
    """Put together what is in force at a moment."""
    made = Effects()
    values: dict[str, float] = {}
    for change in changes:
        if not change.at_ms <= now_ms < change.until_ms:
            continue
        if change.kind == "drift" and change.task:
            made.drift[change.task] *= 1.0 + (change.factor - 1.0) * change.progress(now_ms)
        elif change.kind == "lift" and change.task:
            made.lifts[change.arm, change.task] = made.lifts.get((change.arm, change.task), 1.0) * change.factor
        elif change.kind == "sample_ratio_mismatch":
            made.losses[change.arm] = max(made.losses.get(change.arm, 0.0), change.rate)
        else:
            values.update(_single(change, now_ms))
    return Effects(drift=made.drift, lifts=made.lifts, losses=made.losses, **values)


def _single(change: Change, now_ms: int) -> dict[str, float]:
    """Give the effects of which the newest counts alone."""
    if change.kind == "tastes":
        return {"taste_shift": change.factor * change.progress(now_ms)}
    if change.kind == "flash_sale":
        return {
            "sale_share": change.share, "price_factor": change.price_factor, "delay_factor": change.delay_factor,
        }  # fmt: skip
    if change.kind == "fault" and change.fault == "duplicate":
        return {"duplicates": change.rate}
    if change.kind == "fault" and change.fault == "out_of_order":
        return {"out_of_order": change.rate}
    return {}
