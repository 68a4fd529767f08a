"""Plays the whole story without Kafka or a gateway: what a policy would have earned, by day. For baselines."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from simulator.config import SimulatorConfig
from simulator.policies import make_policy
from simulator.scenario import Change, read_scenario
from simulator.story import Story
from simulator.world import make_world
from springtide.contracts.truth import TruthSlate
from springtide.runtime.config import LabelsConfig

DAY_MS = 86_400_000
_SUMS = ("expected_clicks", "expected_purchases", "expected_revenue")


def play(config: SimulatorConfig, labels: LabelsConfig, scenario: Sequence[Change]) -> dict[str, Any]:
    """Play the story with `config.policy`; gives expectations per slate seen, of each day and of the whole."""
    begun = time.perf_counter()
    world = make_world(config, labels)
    story, policy = Story(world, scenario), make_policy(config.policy, world)
    days: dict[int, list[float]] = {}
    while not story.over:
        step = story.begin()
        slates = policy.rank(step.requests, story.state.now_ms, step.effects)
        policy.learn(slates, story.finish(step, slates).events)
        for truth in step.truths:
            if isinstance(truth, TruthSlate):
                sums = days.setdefault((truth.event_time_ms - config.start_ms) // DAY_MS, [0.0] * 4)
                for place, name in enumerate(_SUMS):
                    sums[place] += getattr(truth, name)
                sums[3] += 1
    rows = [{"day": day, "slates": round(sums[3]), **_per_slate(sums)} for day, sums in sorted(days.items())]
    total = [sum(sums[place] for sums in days.values()) for place in range(4)]
    return {
        "policy": config.policy,
        "seed": config.seed,
        "slates": round(total[3]),
        "impressions": story.state.counts["impressions"],
        **_per_slate(total),
        "days": rows,
        "seconds": round(time.perf_counter() - begun, 2),
    }


def _per_slate(sums: Sequence[float]) -> dict[str, float]:
    return {f"{name}_per_slate": round(sums[place] / max(sums[3], 1), 5) for place, name in enumerate(_SUMS)}


def run_offline(config: SimulatorConfig, labels: LabelsConfig) -> None:
    """Play the story and print the result as JSON."""
    result = play(config, labels, read_scenario(config.scenario, config.start_ms))
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
