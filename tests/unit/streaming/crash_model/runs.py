"""Runs of a log to its end: without a crash, with crashes at random steps, with one crash at a chosen step."""

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streaming.core import Core, Message, Record
from tests.unit.streaming.crash_model.broker import Broker
from tests.unit.streaming.crash_model.process import SOUND, Process, Protocol

KINDS = (
    "",
    "recovered",
    "merged",
    "row sent",
    "rows acknowledged",
    "entry written",
    "meta written",
    "deletion written",
    "changelog acknowledged",
    "committed",
)
PACE = 0.3
"""Share of steps in which something on its way arrives."""


def _never(_step: str) -> bool:
    return False


@dataclass
class Run:
    """A log on its way through as many lives as it takes."""

    make: Callable[[], Core]
    log: Sequence[Record]
    seed: int
    protocol: Protocol = SOUND
    commit_every: int = 1
    lives: int = 0
    steps: list[str] = field(default_factory=list)
    """Of all lives."""
    broker: Broker = field(init=False)
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.broker, self.draw = Broker(self.log), random.Random(self.seed)

    def live(self, until: Callable[[str], bool] = _never) -> bool:
        """Live until a step of one's choice, then crash; true when the log ends first."""
        process = Process(self.make, self.broker, self.protocol, self.commit_every, self.lives)
        self.lives += 1
        for step in process.steps():
            self.steps.append(step)
            if until(step):
                self.broker.crash(self.draw)
                return False
            if self.draw.random() < PACE:
                self.broker.let_some_arrive(self.draw)
        return True

    def crash_at_random(self, crashes: int) -> list[Message]:
        """Crash so often: after some steps of any kind, or after some of one kind; then go to the end."""
        for _ in range(crashes):
            kind, hits = self.draw.choice(KINDS), self.draw.randrange(1, self.draw.choice([5, 20, 60]))
            if self.live(after_steps(hits, kind)):
                break
        self.live()
        return self.broker.arrived


def after_steps(steps: int, kind: str = "") -> Callable[[str], bool]:
    """Make a condition that holds at the so many-th step of a kind; an empty kind is any."""
    left = itertools.count(steps, -1)
    return lambda step: kind in ("", step) and next(left) == 1
