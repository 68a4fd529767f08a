"""What the joiner's pure core costs: `python -m benchmarks.joiner_core [--quick] [--json FILE]`.

No broker, one thread. First microseconds of CPU per slate of ten, by stage; then, for more and more pending
impressions, memory and time per impression, each size in a process of its own.
"""

import argparse
import gc
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import psutil

from benchmarks.joiner_traffic import HOUR, SLATE, START_MS, Traffic, encoded, make_events
from springtide.runtime.config import LabelsConfig
from streaming.config import FeaturesUntil, JoinerConfig
from streaming.core import Record, merge_until_trigger
from streaming.joiner.join import Joiner
from streaming.joiner.served import ServedSlate, Shapes, input_decoder
from streaming.joiner.timers import Timers
from streaming.joiner.windows import Windows

LABELS: Final = LabelsConfig(
    observation={"click": timedelta(minutes=10), "cart": timedelta(hours=1), "purchase": timedelta(hours=1)},
    attribution={"click": timedelta(minutes=30), "cart": timedelta(hours=6), "purchase": timedelta(days=1)},
    allowed_lateness=timedelta(minutes=5),
)
BAR_US: Final = 80.0
BAR_BYTES: Final = 350.0
PARTS: Final = (b"r0", b"r0-s", b"r0-i")


def joiner(features_until: FeaturesUntil = "final") -> Joiner:
    """Make a fresh core as the demo configures it, but for a longer trigger, as catching up has."""
    return Joiner(partition=0, windows=Windows.of(LABELS), config=JoinerConfig(features_until=features_until))


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds that the work takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def stages(slates: int) -> dict[str, float]:
    """Return microseconds per slate, all of its life: from its events' bytes to its rows' and its state's bytes."""
    traffic = Traffic(slates=slates, partitions=1, span_ms=HOUR)
    records = [
        Record(offset, key, value) for offset, (_, key, value) in enumerate(encoded(traffic, make_events(traffic)))
    ]
    core, clock = joiner(), time.process_time
    spent = {"merge": 0.0, "rows": 0.0, "state": 0.0}
    rest, last = iter(records), clock()
    while (trigger := merge_until_trigger(core, rest)) is not None:
        merged = clock()
        core.collect()
        collected = clock()
        list(core.settle(trigger.offset))
        settled = clock()
        for name, seconds in (("merge", merged - last), ("rows", collected - merged), ("state", settled - collected)):
            spent[name] += seconds
        last = settled
    assert core.ledger.slates["final"] == slates
    spent["decode"] = cpu(lambda: _decode(records))
    spent["timers"] = _timers(slates)
    spent["merge"] -= spent["decode"]
    spent["rows"] -= spent["timers"]
    each = {name: 1e6 * seconds / slates for name, seconds in spent.items()}
    return {"all": sum(each.values()), **each}


def _decode(records: list[Record]) -> None:
    shapes = Shapes()
    for record in records:
        event = input_decoder.decode(record.value)
        if isinstance(event, ServedSlate):
            shapes.problem(event, record.value)


def _timers(slates: int) -> float:
    """Return the seconds that setting and taking four timers per slate take."""
    timers = Timers(300_000)

    def work() -> None:
        for number in range(slates):
            for hours in (1, 1, 24, 48):
                timers.add(START_MS + hours * HOUR + number * 1000, "r1")
        for due in range(0, 60 * HOUR + slates * 1000, 300_000):
            for _ in timers.take_due(START_MS + due):
                pass

    return cpu(work)


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """One measurement of the second part."""

    impressions: int
    features_until: FeaturesUntil


def copies(slates: int, step_ms: float) -> Iterator[tuple[int, bytes]]:
    """Give one slate's `served` and `impression` over and over, each with its own ids and times."""
    events = [event for _, event in make_events(Traffic(slates=1, partitions=1, click=0.0, disorder_ms=0))]
    values = [value for _, _, value in encoded(Traffic(slates=1, partitions=1), [(0, e) for e in events])][:2]
    for number in range(slates):
        time_ms = START_MS + round(number * step_ms)
        for value, event in zip(values, events, strict=True):
            own = value.replace(b'"r0', b'"request-%09d' % number)
            yield number, own.replace(b"%d" % event.event_time_ms, b"%d" % time_ms, 1)


def pending(size: Size) -> dict[str, float]:
    """Fill a core with a day of slates, so many that `impressions` are pending; then go on and measure the pace."""
    gc.collect()
    process = psutil.Process()
    core, table = joiner(size.features_until), dict[bytes, int]()  # the worker keeps no second copy of its state
    slates = size.impressions // SLATE
    more = max(500, slates // 20)
    before, bytes_each, seconds = process.memory_info().rss, 0.0, 0.0
    for offset, (number, value) in enumerate(copies(slates + more, 24 * HOUR / slates)):
        if offset == 2 * slates:
            gc.collect()
            bytes_each = (process.memory_info().rss - before) / core.book.open_impressions
            estimate = core.pending_bytes / core.book.open_impressions
            stored = sum(table.values()) / core.book.open_impressions
        begun = time.process_time()
        if core.merge(Record(offset, b"u1", value)):
            core.collect()
            for write in core.settle(offset):
                if write.value is None:
                    del table[write.key]
                else:
                    table[write.key] = len(write.key) + len(write.value)
        if number >= slates:
            seconds += time.process_time() - begun
    return {
        "impressions": size.impressions,
        "bytes": bytes_each,
        "in the changelog": stored,
        "estimate": estimate,
        "us": 1e6 * seconds / more / SLATE,
    }


def main() -> int:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joiner_core", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    runs = [stages(1_000 if arguments.quick else 5_000) for _ in range(3 if arguments.quick else 5)]
    each = {name: sorted(run[name] for run in runs)[len(runs) // 2] for name in runs[0]}
    print(f"CPU per slate of {SLATE}, microseconds, median of {len(runs)} (bar: {BAR_US:.0f})")
    for name, microseconds in each.items():
        print(f"  {name:8} {microseconds:7.1f}")
    sizes = [10_000, 100_000] if arguments.quick else [10_000, 100_000, 1_000_000]
    wanted = [Size(impressions=number, features_until="observed") for number in sizes]
    wanted.append(Size(impressions=sizes[1], features_until="final"))
    print(f"pending impressions: resident bytes each (bar: {BAR_BYTES:.0f}), and CPU per impression")
    grown: list[dict[str, float | str]] = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for size in wanted:
            figures = pool.apply(pending, (size,))
            grown.append({"features_until": size.features_until, **figures})
            print(
                f"  {size.impressions:9,} {figures['bytes']:6.0f} bytes (estimate {figures['estimate']:.0f}, in the "
                f"changelog {figures['in the changelog']:.0f}), {figures['us']:.2f} us, features until "
                f"{size.features_until}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"slate_us": each, "pending": grown}, indent=1) + "\n")
    return 0 if each["all"] <= BAR_US else 1


if __name__ == "__main__":
    sys.exit(main())
