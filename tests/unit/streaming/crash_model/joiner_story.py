"""The real joiner in the model: one seed is one log, ten crashes and a verdict; and every guard, taken away."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streaming.core import Core
from streaming.joiner.join import Joiner
from streaming.joiner.windows import Windows
from tests.unit.streaming.crash_model.process import SOUND, Protocol
from tests.unit.streaming.crash_model.runs import Run
from tests.unit.streaming.crash_model.traffic import DENSE, POLICIES, SPARSE, make_log
from tests.unit.streaming.crash_model.verdict import Verdict, judge

CRASHES = 10
WINDOWS = [Windows.of(labels) for labels in POLICIES]


class Forgetful(Joiner):
    """Leaves what an interrupted trigger had still to tidy away until its next trigger."""

    def _fire(self) -> None:
        if self._recovering:
            self._recovering = False
        else:
            super()._fire()

    _recovering = True


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The protocol or the core without one guard."""

    protocol: Protocol = SOUND
    kind: type[Joiner] = Joiner


GUARDS: Mapping[str, Guard] = {
    "rows are acknowledged before anything is written": Guard(protocol=Protocol(await_rows=False)),
    "a record at or below the applied offset is skipped": Guard(protocol=Protocol(skip_applied=False)),
    "a restore finishes what is due before it takes a record": Guard(kind=Forgetful),
    "entries with their flags are written before the meta entry": Guard(
        protocol=Protocol(order="meta, entries, deletions")
    ),
    "deletions are written after the meta entry": Guard(protocol=Protocol(order="entries, deletions, meta")),
    "what a deleted entry came to is written first": Guard(protocol=Protocol(state_before_deletion=False)),
    "the changelog is acknowledged before a release": Guard(protocol=Protocol(await_changelog=False)),
    "only what was released is committed": Guard(protocol=Protocol(commit_released=False)),
}


def make_joiner(seed: int, kind: type[Joiner] = Joiner) -> Callable[[], Core]:
    """Make joiners with many triggers for the even seeds, with few for the odd ones; with each policy in turn."""
    config, windows = (DENSE, SPARSE)[seed % 2], WINDOWS[seed // 2 % len(WINDOWS)]
    return lambda: kind(partition=0, windows=windows, config=config)


def one_seed(seed: int, protocol: Protocol = SOUND, kind: type[Joiner] = Joiner) -> Verdict:
    """Crash ten times at random on one log; commits come at every trigger, or less often than windows close."""
    log = make_log(random.Random(seed))
    calm = Run(make_joiner(seed), log, seed)
    calm.live()
    commit_every = random.Random(seed).choice([1, 3, 15])
    run = Run(make_joiner(seed, kind), log, seed, protocol, commit_every)
    return judge(run.crash_at_random(CRASHES), calm.broker.arrived)
