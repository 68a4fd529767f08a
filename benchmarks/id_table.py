"""What the id table costs: `python -m benchmarks.id_table [--quick] [--json FILE]`.

Ten million ids in one table, one thread, CPU time, so that a busy machine shows less (it still shows: neighbours take
cache and memory bandwidth, which is all that looking up needs). In the same run, on the same ids: a Python dict, a
pandas index and Arrow's index_in. Every lookup is checked against the row that it must give.
"""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from springtide.model.id_table import IdTable

IDS: Final = 10_000_000
QUICK_IDS: Final = 500_000
CALL: Final = 1_000_000
"""Ids per call."""
SEED: Final = 11
ZIPF: Final = 1.2
ROUNDS: Final = 3
NEW: Final = 0.1
"""Share of the observations of a busy full table that are of unknown ids."""

Bars = list[dict[str, Any]]
Ints = NDArray[np.int64]


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds that the work takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def bar(name: str, value: float, limit: float, unit: str, *, at_least: bool) -> dict[str, Any]:
    """Say one bar: whether `value` keeps to `limit`; a limit of 0 is no bar, but told for comparison."""
    holds = value >= limit if at_least else value <= limit
    return {"bar": name, "value": round(value, 3), "limit": limit, "holds": holds or not limit, "unit": unit}


def text_of(numbers: Ints) -> Any:
    """Return ids such as `u1234567` as an Arrow array."""
    digits = pa.array(numbers).cast(pa.large_string())
    return pa.compute.binary_replace_slice(digits, start=0, stop=0, replacement="u")


def integers(count: int) -> Ints:
    """Return different 63-bit ids in no order."""
    ids = np.random.default_rng(SEED).integers(1, 2**62, count + count // 1000)
    return np.random.default_rng(SEED).permutation(np.unique(ids))[:count]


def calls(ids: Any) -> Iterator[Any]:
    """Yield the ids of each call."""
    for start in range(0, len(ids), CALL):
        yield ids[start : start + CALL]


def filled(ids: Any, admission_count: int) -> tuple[IdTable, float]:
    """Return a full table, and the ids a second that it took while it admitted them."""
    table = IdTable(capacity=len(ids) + 1, admission_count=admission_count, expiry_ms=1)
    seconds = 0.0
    for _ in range(admission_count):
        for part in calls(ids):
            seconds += cpu(lambda: table.observe(part, 0))  # noqa: B023 -- called at once
    assert len(table) == len(ids)
    return table, admission_count * len(ids) / seconds


def in_traffic(table: IdTable, ids: Ints) -> float:
    """Return the ids a second of a full table; a tenth are new, each its own, and displace what was longest unseen."""
    random, seconds, asked = np.random.default_rng(SEED + 2), 0.0, 0
    table.take_journal()
    for now, part in enumerate(calls(ids[which(len(ids))["zipf"]]), start=2):
        new = np.flatnonzero(random.random(len(part)) < NEW)
        part[new] = -1 - asked - np.arange(len(new))  # no id of the table is negative
        seconds += cpu(lambda: table.observe(part, now))  # noqa: B023 -- called at once
        asked += len(part)
    assert len(table.take_journal().evicted) >= NEW * asked * 0.99
    return asked / seconds


def warm(lookup: Callable[[Any], Any], queries: Any, rows: Ints) -> float:
    """Return the ids a second of the best of some rounds, each answer checked."""
    seconds = []
    for _ in range(ROUNDS):
        spent = 0.0
        for start in range(0, len(rows), CALL):
            begun = time.process_time()
            found = lookup(queries[start : start + CALL])
            spent += time.process_time() - begun
            assert np.array_equal(found, rows[start : start + CALL])
        seconds.append(spent)
    return len(rows) / min(seconds)


def which(count: int) -> dict[str, Ints]:
    """Return which ids are asked for: each as often, and as in traffic, a few very often."""
    random = np.random.default_rng(SEED + 1)
    asked = min(4 * CALL, count)
    return {"uniform": random.integers(0, count, asked), "zipf": np.minimum(random.zipf(ZIPF, asked) - 1, count - 1)}


def one_gather(count: int) -> Bars:
    """Measure numpy's random reads of as many 8-byte words as there are ids: what no lookup can be cheaper than."""
    words, where = np.ones(count, np.int64), which(count)["uniform"]
    seconds = min(cpu(lambda: [words.take(part) for part in calls(where)]) for _ in range(ROUNDS))
    return [bar("one_random_read", 1e9 * seconds / len(where), 0, "ns", at_least=False)]


def of_integers(count: int) -> Bars:
    """Measure integer ids."""
    results: Bars = []
    ids = integers(count)
    table, admitting = filled(ids, 1)
    results.append(bar("integers_admitting", admitting / 1e6, 3, "M/s", at_least=True))
    results.append(bar("integers_bytes_per_id", table.nbytes / count, 40, "bytes", at_least=False))
    for name, index in which(count).items():
        results.append(
            bar(f"integers_lookup_{name}", warm(table.lookup, ids[index], index + 1) / 1e6, 20, "M/s", at_least=True)
        )
    known = ids[which(count)["zipf"]]
    pace = len(known) / cpu(lambda: [table.observe(part, 1) for part in calls(known)])
    results.append(bar("integers_observe_known", pace / 1e6, 0, "M/s", at_least=True))
    results.append(bar("integers_admitting_in_traffic", in_traffic(table, ids) / 1e6, 3, "M/s", at_least=True))
    del table
    table, admitting = filled(ids, 2)
    results.append(bar("integers_admitting_at_2", admitting / 1e6, 3, "M/s", at_least=True))
    results.append(bar("integers_bytes_per_id_at_2", table.nbytes / count, 0, "bytes", at_least=False))
    return results


def of_text(count: int) -> Bars:
    """Measure text ids, as an Arrow array and as a list of str."""
    results: Bars = []
    ids = text_of(np.random.default_rng(SEED).permutation(count))
    table, admitting = filled(ids, 1)
    results.append(bar("text_admitting", admitting / 1e6, 3, "M/s", at_least=True))
    results.append(bar("text_bytes_per_id", table.nbytes / count, 40, "bytes", at_least=False))
    for name, index in which(count).items():
        asked = ids.take(pa.array(index))
        results.append(bar(f"text_lookup_{name}", warm(table.lookup, asked, index + 1) / 1e6, 0, "M/s", at_least=True))
    index = which(count)["zipf"]
    asked_list = ids.take(pa.array(index)).to_pylist()
    pace = warm(table.lookup, asked_list, index + 1)
    results.append(bar("text_list_lookup_zipf", pace / 1e6, 0, "M/s", at_least=True))
    slate = asked_list[:100]
    seconds = min(cpu(lambda: [table.lookup(slate) for _ in range(200)]) for _ in range(ROUNDS))
    results.append(bar("text_slate_of_100", 1e6 * seconds / 200, 0, "us", at_least=False))
    return results


def of_peers(count: int) -> Bars:
    """Measure what there is beside: the same lookups of integers by a dict, pandas and Arrow."""
    results: Bars = []
    ids = integers(count)
    index = which(count)
    frame = pd.Index(ids)
    frame.get_indexer(frame[:10])  # makes its hash table
    arrow = pa.array(ids)
    row_of = dict(zip(ids.tolist(), range(count), strict=True))

    def by_dict(asked: Any) -> Ints:
        found = map(row_of.get, asked.tolist(), repeat(-1))
        return np.fromiter(found, np.int64, len(asked))

    for name, where in index.items():
        asked = ids[where]
        results.append(bar(f"dict_integers_lookup_{name}", warm(by_dict, asked, where) / 1e6, 0, "M/s", at_least=True))
        pace = warm(lambda part: frame.get_indexer(pd.Index(part)), asked, where)
        results.append(bar(f"pandas_integers_lookup_{name}", pace / 1e6, 0, "M/s", at_least=True))
    asked = ids[index["uniform"]]
    seconds = cpu(lambda: pa.compute.index_in(asked, value_set=arrow))  # builds its table in each call
    results.append(bar("arrow_integers_index_in", len(asked) / seconds / 1e6, 0, "M/s", at_least=True))
    return results


def of_text_peers(count: int) -> Bars:
    """Measure a dict of text, as the table was before."""
    results: Bars = []
    index = which(count)
    texts = text_of(np.random.default_rng(SEED).permutation(count)).to_pylist()
    row_of_text = dict(zip(texts, range(count), strict=True))
    bytes_each = (sys.getsizeof(row_of_text) + sum(map(sys.getsizeof, texts[:1000])) / 1000 * count) / count
    results.append(bar("dict_text_bytes_per_id", bytes_each, 0, "bytes", at_least=False))
    asked = [texts[place][:1] + texts[place][1:] for place in index["zipf"].tolist()]  # new, as a decoder makes them

    def by_text(part: Any) -> Ints:
        return np.fromiter(map(row_of_text.get, part, repeat(-1)), np.int64, len(part))

    pace = warm(by_text, asked, index["zipf"])
    results.append(bar("dict_text_list_lookup_zipf", pace / 1e6, 0, "M/s", at_least=True))
    slate = asked[:100]
    seconds = min(cpu(lambda: [by_text(slate) for _ in range(200)]) for _ in range(ROUNDS))
    results.append(bar("dict_text_slate_of_100", 1e6 * seconds / 200, 0, "us", at_least=False))
    return results


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.id_table", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_IDS:,} ids for {IDS:,}")
    parser.add_argument("--json", type=Path, help="write the bars here")
    given = parser.parse_args()
    count = QUICK_IDS if given.quick else IDS
    sys.stdout.write(f"{count:,} ids, seed {SEED}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    results: Bars = []
    for measure in (one_gather, of_integers, of_text, of_peers, of_text_peers):
        for entry in measure(count):
            mark = ("holds" if entry["holds"] else "MISSED") if entry["limit"] else ""
            limit = f"{entry['limit']:>4,}" if entry["limit"] else "   –"
            sys.stdout.write(f"{entry['bar']:34} {entry['value']:10,.2f} {entry['unit']:6} {limit} {mark}\n")
            sys.stdout.flush()
            results.append(entry)
        gc.collect()
    sys.stdout.write(f"load at the end {os.getloadavg()[0]:.1f}\n")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(entry["holds"] for entry in results) else 1


if __name__ == "__main__":
    sys.exit(main())
