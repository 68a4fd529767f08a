"""What the trainer costs per row: `python -m benchmarks.trainer [--quick] [--json FILE]`.

One rank of one, in one thread, so that nothing waits; CPU time, so that a busy machine shows less.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import torch

from benchmarks.bars import bar
from benchmarks.models import made_up_samples
from springtide.contracts.codec import encode
from springtide.contracts.samples import Sample
from springtide.contracts.topics import DAY_MS
from springtide.model.level import HOURS
from springtide.model.presets import preset
from springtide.runtime.config import KafkaConfig
from trainer.chain_model import ChainModel
from trainer.days import day_of
from trainer.live_feed import LiveFeed
from trainer.messages import Meeting
from trainer.packing import pack
from trainer.process_group import join_group
from trainer.sample_source import SampleSource

ARRIVED = (1.0, 1.0, 0.6)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process that the work takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def intake(payloads: Sequence[bytes]) -> list[Sample]:
    """Decode and sort messages as a rank does after Kafka's client has them."""
    decoder = msgspec.json.Decoder(Sample)
    feed = LiveFeed(SampleSource(KafkaConfig(), {0: 0}), 2 * DAY_MS)
    taken = []
    for offset, payload in enumerate(payloads):
        sample = decoder.decode(payload)
        if feed.seen[0].add(sample.row_id, sample.impression_time_ms):
            feed.index.note(0, offset, "fast", day_of(sample.impression_time_ms))
            taken.append(sample)
    return taken


def measure(quick: bool) -> list[dict[str, Any]]:
    """Return every bar."""
    samples = made_up_samples(1_500 if quick else 6_000)
    rows = sum(len(sample.item_ids) for sample in samples)
    payloads = [encode(sample) for sample in samples]
    meeting = Meeting(rank=0, world_size=1, host="127.0.0.1", port=0, timeout=timedelta(seconds=60))
    chain = ChainModel(preset(), join_group(meeting), "es-dfm")
    arrived_KT = torch.tensor(ARRIVED).expand(HOURS, -1)
    chain.run(list(pack(samples[:200], 500)), "learn", arrived_KT, True)

    results = [bar("intake_rows_per_cpu_s", rows / cpu_seconds(lambda: intake(payloads)), 50_000, "1/s", at_least=True)]
    for batch_rows in (256, 512, 1024):
        batches = list(pack(samples, batch_rows))
        seconds = cpu_seconds(lambda: chain.run(batches, "learn", arrived_KT, True))  # noqa: B023 -- called at once
        limit = 10_000 if batch_rows >= 512 else 5_000
        results.append(bar(f"learn_rows_per_cpu_s_{batch_rows}", rows / seconds, limit, "1/s", at_least=True))
    batches = list(pack(samples, 1024))
    seconds = cpu_seconds(lambda: chain.run(batches, "score", arrived_KT, True))
    results.append(bar("score_rows_per_cpu_s_1024", rows / seconds, 20_000, "1/s", at_least=True))
    seconds = cpu_seconds(lambda: chain.load_local_state(chain.local_state()))
    results.append(bar("copy_model_cpu_s", seconds, 1.0, "s", at_least=False))
    return results


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the rows")
    parser.add_argument("--json", type=Path, help="write the bars here")
    given = parser.parse_args()
    results = measure(given.quick)
    for entry in results:
        mark = "holds" if entry["holds"] else "MISSED"
        sys.stdout.write(f"{entry['bar']:32} {entry['value']:14,.2f} {entry['unit']:5} {entry['limit']:>10,} {mark}\n")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(entry["holds"] for entry in results) else 1


if __name__ == "__main__":
    sys.exit(main())
