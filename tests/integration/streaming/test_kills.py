"""Bar 10: two workers killed at every named point and at random ones; no row lost, none added, none changed.

How many kills: effort.py.
"""

import random
import time
from pathlib import Path

from springtide.runtime.config import KafkaConfig
from streaming.shell.failpoints import POINTS
from tests.integration.streaming.effort import KILLS, SECONDS, SEED
from tests.integration.streaming.traffic import early_labels, make_days
from tests.integration.streaming.worker_process import wait_until
from tests.integration.streaming.workers import SLOW_COMMITS, Workers

HITS = {
    "merging": 60,
    "collected": 3,
    "row-batch-acknowledged": 2,
    "changelog-batch-acknowledged": 2,
    "released": 2,
}
"""At which hit a point ends the process; 1 where none is named."""

REBALANCE = "revoking"


def feed_until_dead(workers: Workers, point: str) -> bool:
    """Send a little more; true when the first worker has died of its point."""
    workers.feed()
    return workers.died(0, point)


def test_a_kill_at_every_point_changes_no_row(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Two points at a time, one for each worker; events come until both have died of them."""
    seed = SEED
    events, streams = make_days(seed, days=14)
    points = [point for point in POINTS if point != REBALANCE]
    pairs = [points[number : number + 2] for number in range(0, len(points), 2)]
    with Workers(kafka_config, tmp_path, streams, parts=120) as workers:
        workers.feed()
        for process in [workers.start(0), workers.start(1)]:
            workers.wait_for_work()
            process.kill()
            workers.feed()
        for pair in pairs:
            before = workers.written()
            points_of = {number: f"{name}:{HITS.get(name, 1)}" for number, name in enumerate(pair)}
            for number, point in points_of.items():
                workers.start(number, failpoint=point)
            deadline = time.monotonic() + 60
            while not all(workers.died(number, point) for number, point in points_of.items()):
                assert time.monotonic() < deadline, f"seed {seed}: {pair}: expected both to reach their points"
                workers.feed()
                time.sleep(0.3)
            assert workers.written() > before or pair[0] == "recovering", f"seed {seed}: {pair}: nothing was done"
        differences = workers.finish(events)
    assert not differences, f"seed {seed}: {differences}"
    print(f"seed {seed}: {len(points)} forced kills, {workers.told(differences)}")


def test_a_kill_in_the_middle_of_a_rebalance_changes_no_row(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """The first worker dies while it gives up partitions for the second."""
    events, streams = make_days(SEED + 500, days=3)
    with Workers(kafka_config, tmp_path, streams, parts=40) as workers:
        workers.feed()
        point = f"{REBALANCE}:2"  # the first time it has none to give up
        workers.start(0, failpoint=point)
        workers.wait_for_work()
        workers.start(1)
        wait_until(lambda: feed_until_dead(workers, point), "its death in the rebalance", pause=0.3)
        differences = workers.finish(events)
    assert not differences, f"seed {SEED}: {differences}"


def test_kills_at_random_moments_change_no_row(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """One or both workers at a time, at a random moment after they have done something."""
    seed, kills = SEED, 0
    draw = random.Random(seed)
    events, streams = make_days(seed + 1000, days=max(4, KILLS // 3))
    assert early_labels(streams) > 0
    with Workers(kafka_config, tmp_path, streams, parts=KILLS + 4) as workers:
        deadline = time.monotonic() + SECONDS
        while kills < KILLS and time.monotonic() < deadline:
            for number, process in enumerate(workers.processes):
                if process is None or process.ended:
                    workers.start(number, *draw.choice([(), (SLOW_COMMITS,)]))
            workers.feed()
            workers.wait_for_work()
            time.sleep(draw.random() * draw.choice([0.05, 0.5, 2.0]))  # the random moment
            alive = list(workers.running())
            for victim in draw.choice([alive[:1], alive[-1:], alive]):
                victim.kill()
                kills += 1
        differences = workers.finish(events)
    assert not differences, f"seed {seed}: {differences}"
    print(f"seed {seed}: {kills} random kills, {workers.told(differences)}")
