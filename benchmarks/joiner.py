"""How fast the joiner catches up, and what a slate costs: `python -m benchmarks.joiner [--quick] [--json FILE]`.

A topic is filled with slates of ten, their impressions and labels; one real worker on one core, against a real
broker on the other, with the durability of production, joins it all; its rows are read back from Kafka and must be
those of the batch join, all of them. The clock runs from the first record taken in to the broker's stamp on the
last row. Every figure is the median of its runs. `--peers`, `--recovery` and `--lag` add their bars.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.joiner_against import PEERS, Contest
from benchmarks.joiner_catch_up import CatchUp, Run
from benchmarks.joiner_lag import measure_lag
from benchmarks.joiner_recovery import measure_recovery
from benchmarks.joiner_rig import WORKER_CORE, keep_to_broker_cores
from benchmarks.joiner_traffic import MINUTE, SLATE, Traffic
from local_stack.broker.local_broker import LocalBroker
from local_stack.folders import cache_folder
from springtide.contracts.tasks import TASKS
from springtide.runtime.config import KafkaConfig, LabelsConfig
from springtide.runtime.settings import build_sections, read_profile

Bar = dict[str, Any]
WINDOW: Final = timedelta(minutes=30)
ONE_WINDOW: Final = [
    f'labels.{name}={{ click = "30m", cart = "30m", purchase = "30m" }}' for name in ("observation", "attribution")
]
"""The peers' window, for the joiner."""


def bar(name: str, value: float, limit: float, unit: str, *, at_least: bool = False) -> Bar:
    """Make one entry of the result."""
    holds = value >= limit if at_least else value <= limit
    return {"bar": name, "value": round(value, 4), "limit": limit, "holds": holds, "unit": unit}


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def catch_up(work: CatchUp, given: argparse.Namespace, runs: int) -> Iterator[Bar]:
    """Measure catch-up."""
    slates, done = work.traffic.slates, []
    for number in range(runs):
        run = work.run(f"run{number}", given.set)
        done.append(run)
        say(
            f"run {number}: {slates * SLATE / run.seconds:9,.0f} impressions/s in {run.seconds:6.2f} s, "
            f"{1e6 * run.cpu_seconds / slates:6.0f} us of CPU per slate, {run.rss_mib:5.0f} MiB, "
            f"{run.rows} rows, {run.wrong} wrong, {run.repeated} repeated"
        )
    if given.profile:
        work.run("profile", given.set, given.profile)

    def median(read: Callable[[Run], float]) -> float:
        return statistics.median(read(run) for run in done)

    yield bar("catch-up, one worker", median(lambda run: slates * SLATE / run.seconds), 50_000, "1/s", at_least=True)
    yield bar("CPU per slate", median(lambda run: 1e6 * run.cpu_seconds / slates), 200, "us")
    yield bar("rows right", 100 * (1 - max(run.wrong for run in done) / done[0].rows), 100, "%", at_least=True)
    yield bar("rows repeated", median(lambda run: run.repeated), 0, "rows")


def peers(traffic: Traffic, kafka: KafkaConfig, labels: LabelsConfig, folder: Path, runs: int) -> Iterator[Bar]:
    """Measure the joiner and its peers with the same window on the same traffic."""
    one: dict[str, timedelta] = dict.fromkeys(TASKS, WINDOW)
    labels = replace(labels, observation=one, attribution=one)
    slates = traffic.slates
    ours = CatchUp(traffic, kafka, labels, folder)
    mine = [ours.run(f"window{number}", ONE_WINDOW) for number in range(runs)]
    speed = statistics.median(slates * SLATE / run.seconds for run in mine)
    say(f"joiner, one window: {speed:9,.0f} impressions/s, {max(run.wrong for run in mine)} rows wrong")
    contest = Contest(traffic, kafka, labels, folder)
    for name in PEERS:
        try:
            found = [contest.run(name, cache_folder(os.environ)) for _ in range(runs)]
        except RuntimeError as error:
            say(f"{name}: not measured: {error}")
            continue
        theirs = statistics.median(slates * SLATE / run.seconds for run in found)
        right, told = (100 * min(run.rows_right for run in found), 100 * min(run.labels_found for run in found))
        say(f"{name}: {theirs:9,.0f} impressions/s, {right:.2f} % of rows right, {told:.2f} % of labels found")
        yield bar(f"joiner over {name}", speed / theirs, 1.0, "times", at_least=True)


def recovery(kafka: KafkaConfig, folder: Path, given: argparse.Namespace) -> Iterator[Bar]:
    """Measure how long a worker takes to go on, and what pending impressions weigh."""
    traffic = Traffic(slates=given.recovery // SLATE, span_ms=10 * MINUTE, cart=0, tail_ms=0, seed=given.seed)
    stores = (("memory", False, 30, 350), ("rocksdb", True, 5, 60))
    for store, clean, seconds, weight in stores:
        found = measure_recovery(traffic, kafka, folder / store, f"{store}://", clean=clean)
        say(f"{store}: {found.seconds:.1f} s, a worker without state {found.empty_seconds:.1f} s")
        end = "a clean stop" if clean else "SIGKILL"
        yield bar(f"{store}: goes on after {end}, {given.recovery} pending", found.seconds, seconds, "s")
        yield bar(f"{store}: a pending impression", found.bytes_pending, weight, "bytes")


def lag(kafka: KafkaConfig, folder: Path, given: argparse.Namespace) -> Iterator[Bar]:
    """Measure how late rows are."""
    found = measure_lag(kafka, folder, rate=given.lag, seconds=30, seed=given.seed)
    say(f"{found.rows} rows at {found.rate:,.0f} impressions/s")
    yield bar("join lag, p50", found.p50, 0.3, "s")
    yield bar("join lag, p99", found.p99, 2.0, "s")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joiner", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the slates, two runs")
    parser.add_argument("--slates", type=int, default=30_000)
    parser.add_argument("--runs", type=int, default=5, help="0 leaves catch-up out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="of the worker")
    parser.add_argument("--profile", type=Path, help="write py-spy's stacks of one more run here")
    parser.add_argument("--peers", type=int, default=0, metavar="RUNS", help="measure the peers, too")
    parser.add_argument("--recovery", type=int, default=0, metavar="PENDING", help="impressions, such as 1000000")
    parser.add_argument("--lag", type=float, default=0, metavar="RATE", help="impressions a second: half of the peak")
    parser.add_argument("--json", type=Path, help="write the bars here")
    return parser.parse_args()


def measure(given: argparse.Namespace, kafka: KafkaConfig, folder: Path) -> Iterator[Bar]:
    """Measure everything that was asked for."""
    slates, runs = (given.slates // 10, min(2, given.runs)) if given.quick else (given.slates, given.runs)
    say(f"{slates} slates of {SLATE}, seed {given.seed}")
    labels = build_sections(read_profile(Path("config/base.toml")), {"labels": LabelsConfig})["labels"]
    traffic = Traffic(slates=slates, partitions=kafka.partitions, seed=given.seed)
    if runs:
        yield from catch_up(CatchUp(traffic, kafka, labels, folder), given, runs)
    if given.peers:
        yield from peers(traffic, kafka, labels, folder, given.peers)
    if given.recovery:
        yield from recovery(kafka, folder, given)
    if given.lag:
        yield from lag(kafka, folder, given)


def main() -> int:
    """Measure, print, write; 0 when every bar holds."""
    given = parse()
    keep_to_broker_cores()
    with tempfile.TemporaryDirectory() as name, LocalBroker(Path(name) / "broker", cache_folder(os.environ)) as broker:
        results = list(measure(given, KafkaConfig(bootstrap=broker.bootstrap, partitions=2), Path(name)))
    for entry in results:
        mark = "holds" if entry["holds"] else "MISSED"
        say(f"{entry['bar']:48} {entry['value']:14,.2f} {entry['unit']:6} {entry['limit']:>10,} {mark}")
    say(f"worker on core {WORKER_CORE} of {os.cpu_count()}, load average {os.getloadavg()[0]:.1f}")
    if (os.cpu_count() or 1) < 3:
        say("two workers: not measured, for it takes 3 cores: two for them and one for the broker")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(entry["holds"] for entry in results) else 1


if __name__ == "__main__":
    sys.exit(main())
