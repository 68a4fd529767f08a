"""What the models cost and whether they learn: `python -m benchmarks.models [--quick] [--json FILE]`.

Cost is CPU time of one thread, so that a busy machine shows less. Learning plays the simulator's offline story:
expected clicks and purchases per slate of the last whole day, against random and popularity on the same seed.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bars import bar, say_bars
from benchmarks.learning_policy import LearningPolicy, lay_out
from benchmarks.model_speed import measure_speed
from simulator.config import SimulatorConfig
from simulator.policies import Policy, make_policy
from simulator.scenario import read_scenario
from simulator.story import Story
from simulator.world import World, make_world
from springtide.contracts.events import Context, SlateFeatures
from springtide.contracts.features import ITEM_FEATURES, USER_FEATURES
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.truth import TruthSlate
from springtide.model.batch import Batch, make_batch
from springtide.model.config import ModelConfig
from springtide.model.dense_network import DenseNetwork
from springtide.model.embeddings import initial_table
from springtide.model.inputs import columns_from_samples, columns_from_slate, lookup_columns
from springtide.model.level import HOURS
from springtide.model.presets import names, preset
from springtide.model.scorer import TableScorer
from springtide.model.targets import targets_from_samples
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import build_sections, milliseconds, read_profile
from trainer.chain_model import ChainModel
from trainer.messages import Meeting
from trainer.process_group import join_group

DAY_MS = 86_400_000
CANDIDATES = 100
BATCH_ROWS = 1000
WEIGHTS = {"click": 1.0, "cart": 2.0, "purchase": 6.0}


def slate(random: np.random.Generator, items: int) -> SlateFeatures:
    """Return made-up features of a slate."""
    return SlateFeatures(
        version=1,
        feature_time_ms=1,
        user={name: float(random.integers(0, 20)) for name in USER_FEATURES},
        top_categories=["c1", "c2", "c3"],
        top_category_shares=[0.5, 0.3, 0.2],
        recent_items=[f"i{item}" for item in random.integers(0, 1500, 20)],
        item={name: random.integers(0, 50, items).astype(float).tolist() for name in ITEM_FEATURES},
        item_category=[f"c{category}" for category in random.integers(0, 24, items)],
    )


def made_up_samples(count: int) -> list[Sample]:
    """Return `count` slates of ten with labels at random."""
    random = np.random.default_rng(1)
    return [
        Sample(
            row_id=f"r{number}:observed", phase="observed", request_id=f"r{number}",
            user_id=f"u{random.integers(0, 3000)}", experiment="", arm="", model_version="",
            context=Context(device="phone", country="NL"), impression_time_ms=1_700_000_000_000 + number * 1000,
            age_ms=0, item_ids=[f"i{item}" for item in random.integers(0, 1500, 10)], positions=list(range(1, 11)),
            labels={task: random.integers(0, 2, 10).tolist() for task in TASKS}, delays_ms={},
            maturity=dict.fromkeys(TASKS, "observed"), features=slate(random, 10),
        )
        for number in range(count)
    ]  # fmt: skip


def made_batch(samples: Sequence[Sample], chain: ChainModel) -> Batch:
    """Return decoded samples as the network takes them: user features once per slate, spread over its rows late."""
    columns = columns_from_samples(samples)
    return make_batch(columns, lookup_columns(columns, chain.ids), targets_from_samples(samples).labels_NT)


def cpu_seconds(work: Callable[[], object], times: int) -> float:
    """Return this thread's CPU time per call, after a warm-up."""
    for _ in range(3):
        work()
    start = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - start) / times


def measure_cost(group: Any, times: int) -> list[dict[str, Any]]:
    """Measure inputs, scoring and learning for the default preset."""
    config = preset()
    samples = made_up_samples(400)
    chain = ChainModel(config, group, "es-dfm")
    batches = [samples[start : start + BATCH_ROWS // 10] for start in range(0, 400, BATCH_ROWS // 10)]
    arrived_KT = torch.full((HOURS, len(TASKS)), 0.5)
    learn = cpu_seconds(lambda: chain.run(batches, "learn", arrived_KT, exhausted=True), max(times // 20, 2))
    columns = cpu_seconds(lambda: columns_from_samples(samples), max(times // 20, 2))
    making = cpu_seconds(lambda: [made_batch(batch, chain) for batch in batches], max(times // 20, 2))
    features, ids = slate(np.random.default_rng(2), CANDIDATES), [f"i{item}" for item in range(CANDIDATES)]
    rows = {name: np.zeros(CANDIDATES, np.int64) for name in ("item_id", "category", "position")}
    rows |= {name: np.zeros(1, np.int64) for name in ("user_id", "device", "country")} | {
        "history": np.arange(10, dtype=np.int64)
    }
    scorer = TableScorer(
        config, DenseNetwork(config).state_dict(), {table: initial_table(config, table) for table in config.capacities}
    )
    made = columns_from_slate(features, ids, "u1", Context(), 1_700_000_000_000)
    score = cpu_seconds(lambda: scorer.score_rows(made, rows), times)
    inputs = cpu_seconds(lambda: columns_from_slate(features, ids, "u1", Context(), 1_700_000_000_000), times)
    return [
        bar("samples scored and learned per second, ids to optimizer", 4000 / learn, 15_000, "1/s", at_least=True),
        bar("share of learning spent on making batches of decoded samples", making / learn, 0.15, "", at_least=False),
        bar("columns per item of training slates", columns / 4000 * 1e6, 15, "µs", at_least=False),
        bar("columns of 100 candidates", inputs * 1e3, 1, "ms", at_least=False),
        bar("score of 100 candidates", score * 1e3, 1, "ms", at_least=False),
    ]


def play(world: World, policy: Policy, config: SimulatorConfig) -> list[tuple[float, float]]:
    """Play the story; returns expected clicks and purchases per slate of each whole day."""
    story = Story(world, read_scenario(config.scenario, config.start_ms))
    days = [[0.0, 0.0, 0.0] for _ in range(round(config.days) + 1)]
    while not story.over:
        step = story.begin()
        slates = policy.rank(step.requests, story.state.now_ms, step.effects)
        policy.learn(slates, story.finish(step, slates).events)
        for truth in step.truths:
            if isinstance(truth, TruthSlate):
                sums = days[min((truth.event_time_ms - config.start_ms) // DAY_MS, len(days) - 1)]
                sums[0] += truth.expected_clicks
                sums[1] += truth.expected_purchases
                sums[2] += 1
    return [(clicks / count, purchases / count) for clicks, purchases, count in days[:-1]]


def measure_learning(group: Any, config: ModelConfig, days: float) -> list[dict[str, Any]]:
    """Play the story with a model and with the baselines."""
    sections = build_sections(
        read_profile(Path("config/base.toml")), {"simulator": SimulatorConfig, "labels": LabelsConfig}
    )
    story, labels = dataclasses.replace(sections["simulator"], days=days), sections["labels"]
    world = make_world(story, labels)
    baselines = {name: play(world, make_policy(name, world), story)[-1] for name in ("random", "popularity", "oracle")}
    policy = LearningPolicy(
        world,
        ChainModel(config, group, "es-dfm"),
        method="es-dfm",
        observation_ms=milliseconds(labels.observed_age),
        attribution_ms={task: milliseconds(labels.attribution[task]) for task in TASKS},
        weights=WEIGHTS,
    )
    clicks, purchases = play(world, policy, story)[-1]
    table = {**baselines, "model": (clicks, purchases)}
    for name, (one, two) in table.items():
        sys.stdout.write(f"{name:>12}: {one:.4f} clicks, {two:.5f} purchases per slate\n")
    matured = np.array(policy.matured.day) == round(days) - 1  # the last whole day
    observed = lay_out(policy.matured.labels)[matured].mean(axis=0)
    served = lay_out(policy.matured.served)[matured].mean(axis=0) / observed
    progressive = lay_out(policy.matured.progressive)[matured].mean(axis=0) / observed
    bars = [
        bar("clicks per slate over popularity's", clicks / baselines["popularity"][0], 1.2, "×", at_least=True),
        bar("purchases per slate over popularity's", purchases / baselines["popularity"][1], 1.2, "×", at_least=True),
    ]
    for column, task in enumerate(TASKS):
        for kind, values in (("served", served), ("progressive", progressive)):
            off = abs(float(np.log(values[column])))
            bars.append(bar(f"{kind} calibration of {task}, |log|", off, 0.1, "", at_least=False))
    return bars


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="cost alone, in one short round")
    parser.add_argument("--peers", type=Path, help="virtual environment of other libraries to compare with")
    parser.add_argument("--days", type=float, default=3.0, help="event time of the learning story")
    parser.add_argument("--preset", default=names()[0], choices=names())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    patience = timedelta(seconds=60)
    group = join_group(
        Meeting(rank=0, world_size=1, host="127.0.0.1", port=0, start_timeout=patience, timeout=patience)
    )
    bars = measure_cost(group, 100) + measure_speed(arguments.peers, quick=arguments.quick)
    if not arguments.quick:
        bars += measure_learning(group, preset(arguments.preset), arguments.days)
    say_bars(bars, arguments.json)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
