"""What a slate costs and how long it takes, through gateway, Ray, Feast and Kafka, and what swaps do to it.

`python -m benchmarks.serving [--quick] [--json FILE]`. CPU time is of the whole process tree of serving, by process.
The load comes as in the demo: waves of 1 to 31 requests, at most 16 at once, 62 slates a second on average. The driver
of the load shares the cores, so times of answers are those of a busy machine; a slate alone on a quiet one is faster.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.serving_rig import NOW_MS, RandomModels, ServingProcess, announce, publish_catalogue, write_features
from local_stack.broker.local_broker import LocalBroker
from local_stack.broker.topics import create_topics, plan_topics
from local_stack.folders import cache_folder
from springtide.runtime.config import KafkaConfig

USERS: Final = 1000
ITEMS: Final = 1500
RATE: Final = 62.0
"""Slates a second: 300,000 impressions of 10 a slate in 8 minutes."""


@dataclass
class Measured:
    """What one phase of load gave."""

    latencies: list[float] = field(default_factory=list)
    """Wall time of each answer at the client, seconds."""
    answers: Counter[str] = field(default_factory=Counter)
    """Answers by fallback, or by status when it is not 200."""
    versions: set[str] = field(default_factory=set)

    def quantile(self, share: float) -> float:
        """Give a quantile of the latencies in milliseconds."""
        return 1000 * float(np.quantile(self.latencies, share))

    @property
    def failed(self) -> int:
        """Answers that no model gave."""
        return sum(count for kind, count in self.answers.items() if kind)


async def drive(
    url: str, name: str, *, count: int, wave: int, rate: float = RATE, until: threading.Event | None = None
) -> Measured:
    """Send `count` requests in waves, and on until `until` is set."""
    found, draws = Measured(), random.Random(name)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=wave)) as session:

        async def ask(number: int) -> None:
            body = {
                "user_id": f"u{draws.randrange(USERS)}", "event_time_ms": NOW_MS + number,
                "request_id": f"{name}-{number}", "context": {"device": "phone", "country": "NL"},
            }  # fmt: skip
            started = time.perf_counter()
            async with session.post(f"{url}/v1/slates", json=body) as answer:
                slate = await answer.json()
            found.latencies.append(time.perf_counter() - started)
            found.answers[slate.get("fallback", "") if answer.status == 200 else str(answer.status)] += 1
            found.versions.add(slate.get("model_version", ""))

        due, number = time.perf_counter(), 0
        while number < count or (until is not None and not until.is_set()):
            size = draws.randint(1, 2 * wave - 1) if wave > 1 else 1
            await asyncio.gather(*(ask(number + place) for place in range(size)))
            number += size
            due += size / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
    return found


def run_phase(serving: ServingProcess, count: int, wave: int, name: str) -> tuple[Measured, dict[str, float]]:
    """Drive load; returns what it gave, and CPU milliseconds per slate and process."""
    before = serving.cpu_seconds()
    found = asyncio.run(drive(serving.url, name, count=count, wave=wave))
    after = serving.cpu_seconds()
    per = {name: 1000 * (after[name] - before.get(name, 0.0)) / len(found.latencies) for name in after}
    return found, per


def run_swaps(serving: ServingProcess, kafka: KafkaConfig, models: RandomModels, swaps: int) -> Measured:
    """Publish bundles while load flows, each once the one before it is served by every arm."""
    done = threading.Event()

    def publish() -> None:
        try:
            for number in range(swaps):
                update = models.publish("base" if number % 10 == 9 else "delta")
                announce(kafka, update)
                serving.wait_models({update.version})
        finally:
            done.set()

    publisher = threading.Thread(target=publish)
    publisher.start()
    found = asyncio.run(drive(serving.url, "swaps", count=1, wave=16, until=done))
    publisher.join()
    return found


def measure(folder: Path, kafka: KafkaConfig, *, quick: bool) -> tuple[list[dict[str, Any]], list[tuple[str, float]]]:
    """Start serving and measure it; returns bars, and CPU per process of the demo's kind of load."""
    count, swaps = (400, 5) if quick else (3000, 25)
    publish_catalogue(kafka, ITEMS)
    write_features(folder / "state", USERS, ITEMS)
    models = RandomModels(folder / "state" / "bundles", users=USERS, items=ITEMS)
    models.publish("base")
    with ServingProcess(folder, kafka) as serving:
        serving.wait_ready()
        asyncio.run(drive(serving.url, "warm", count=100, wave=16))
        waves, cpu = run_phase(serving, count, 16, "waves")
        single, cpu_single = run_phase(serving, count // 2, 1, "single")
        before = serving.metric('springtide_model_swaps_total{arm="control",outcome="swapped"}')
        swapped = run_swaps(serving, kafka, models, swaps)
        taken = serving.metric('springtide_model_swaps_total{arm="control",outcome="swapped"}') - before
        unacked = serving.metric("springtide_exposures_unacked_total")
    answered = len(waves.latencies) + len(single.latencies) + len(swapped.latencies)
    bars = [
        _bar("CPU per slate, waves of 16", sum(cpu.values()), 6.0, "ms"),
        _bar("CPU per slate, one at a time", sum(cpu_single.values()), 12.0, "ms"),
        _bar("answer, waves of 16, p50", waves.quantile(0.5), 100.0, "ms"),
        _bar("answer, waves of 16, p99", waves.quantile(0.99), 300.0, "ms"),
        _bar("answer, one at a time, p50", single.quantile(0.5), 20.0, "ms"),
        _bar("answer, one at a time, p99", single.quantile(0.99), 100.0, "ms"),
        _bar("answers without a model", waves.failed + single.failed, 0, "slates"),
        _bar("bundle swaps of an arm under load", taken, swaps, "swaps", at_least=True),
        _bar("answers without a model during swaps", swapped.failed, 0, "slates"),
        _bar("answer during swaps, p99 over p99 without", swapped.quantile(0.99) / waves.quantile(0.99), 2.0, "times"),
        _bar("answers before their exposure was safe", 100 * unacked / answered, 1, "%"),
    ]
    return bars, sorted(cpu.items(), key=lambda pair: -pair[1])


def _bar(name: str, value: float, limit: float, unit: str, *, at_least: bool = False) -> dict[str, Any]:
    holds = value >= limit if at_least else value <= limit
    return {"bar": name, "value": round(value, 3), "limit": limit, "holds": holds, "unit": unit}


def main() -> int:
    """Measure, print, write; 0 when every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests and swaps")
    parser.add_argument("--json", type=Path, help="write the bars there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with LocalBroker(folder / "broker", cache_folder(os.environ)) as broker:
            kafka = KafkaConfig(bootstrap=broker.bootstrap, partitions=2)
            create_topics(broker.bootstrap, plan_topics(kafka))
            bars, cpu = measure(folder / "serving", kafka, quick=given.quick)
    table = Table("bar", "value", "limit", "unit", "holds")
    for bar in bars:
        table.add_row(
            bar["bar"], f"{bar['value']:g}", f"{bar['limit']:g}", bar["unit"], "yes" if bar["holds"] else "NO"
        )
    console = Console()
    console.print(table)
    console.print("CPU ms per slate, waves of 16: " + ", ".join(f"{name} {spent:.2f}" for name, spent in cpu))
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; seeds are the phases' names")
    if given.json:
        given.json.write_text(json.dumps(bars, indent=2) + "\n")
    return 0 if all(bar["holds"] for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
