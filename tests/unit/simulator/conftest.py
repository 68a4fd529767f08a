"""A small world, and a way to play it through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from simulator.config import SimulatorConfig
from simulator.policies import make_policy
from simulator.scenario import Change
from simulator.story import Step, Story
from simulator.world import World, make_world
from springtide.contracts.events import AnyEvent
from springtide.contracts.scoring import SlateResponse
from springtide.contracts.truth import AnyTruth
from springtide.runtime.config import LabelsConfig

LABELS = LabelsConfig(
    observation={"click": timedelta(minutes=10), "cart": timedelta(hours=1), "purchase": timedelta(hours=1)},
    attribution={"click": timedelta(minutes=30), "cart": timedelta(hours=1), "purchase": timedelta(hours=3)},
    allowed_lateness=timedelta(minutes=5),
)
SMALL = SimulatorConfig(
    users=300, items=200, days=0.5, sessions_per_day=2.0, policy="random", mode="offline", settle=timedelta(0),
    step=timedelta(minutes=15),
)  # fmt: skip

Answer = Callable[[list[SlateResponse]], list[SlateResponse]]


@dataclass
class Told:
    """All that a story told, in order."""

    story: Story
    events: list[AnyEvent] = field(default_factory=list)
    truths: list[AnyTruth] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    slates: list[SlateResponse] = field(default_factory=list)


def play(
    config: SimulatorConfig = SMALL,
    changes: Sequence[Change] = (),
    *,
    answer: Answer = lambda slates: slates,
    serves: bool = False,
    **settings: Any,
) -> Told:
    """Play a story through with its own policy; `answer` may change the slates, as another server would."""
    config = replace(config, **settings)
    world = make_world(config, LABELS)
    story, policy = Story(world, changes, serves=serves), make_policy(config.policy, world)
    told = Told(story)
    while not story.over:
        step = story.begin()
        slates = answer(policy.rank(step.requests, story.state.now_ms, step.effects))
        story.finish(step, slates)
        policy.learn(slates, step.events)
        told.events += step.events
        told.truths += step.truths
        told.steps.append(step)
        told.slates += slates
    return told


def in_arms(slates: list[SlateResponse]) -> list[SlateResponse]:
    """Deal slates to two arms by request; a standing A/A beside them."""
    return [
        msgspec.structs.replace(
            slate, arm="treatment" if int(slate.request_id[-1], 16) % 2 else "control", other_arms={"a-a": "aa-right"}
        )
        for slate in slates
    ]


@pytest.fixture(scope="session")
def world() -> World:
    """The small world."""
    return make_world(SMALL, LABELS)
