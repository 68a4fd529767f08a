"""How fast the mixture of experts is against other libraries, in one run: part of `python -m benchmarks.models`.

The same model everywhere: 26 categorical columns of width 16, 13 dense ones, 4 experts of 256 and 128 units, 3 tasks
with towers of 64 units, batches of 2048 rows, one thread. Each system runs in a process of its own; rounds take turns,
and a figure is the median of its rounds. Times are CPU time of the thread, so that a busy machine shows less.
"""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.bars import bar, table
from benchmarks.model_peers.contest import Setting
from benchmarks.model_peers.environments import OURS, run, systems
from springtide.model.precision import has_fast_bfloat16

COLUMNS: Final = 26
BASE: Final = Setting(cardinalities=(100_000,) * COLUMNS, dense=13, tasks=3)
FIGURES: Final = ("step_rows_per_s", "epoch_rows_per_s", "score_ms", "memory_mb")
Rounds = dict[str, list[float]]
"""Per figure, a value per round."""


def rounds(pythons: dict[str, str], setting: Setting, times: int) -> dict[str, Rounds]:
    """Let the systems run `times` rounds in turn; returns the figures of each."""
    found: dict[str, Rounds] = {system: defaultdict(list) for system in pythons}
    for _ in range(times):
        for system, python in pythons.items():
            figures = json.loads(run(python, system, ["time"], setting))
            for name in FIGURES:
                found[system][name].append(figures[name])
    return found


def middle(found: dict[str, Rounds], system: str, name: str) -> float:
    """Return the median of a system's figure."""
    return statistics.median(found[system][name])


def against(found: dict[str, Rounds], name: str, *, most: bool) -> float:
    """Return the best peer's median of a figure: the largest or the smallest."""
    peers = [middle(found, system, name) for system in found if system != OURS]
    return max(peers) if most else min(peers)


def compare(found: dict[str, Rounds], what: str, least: float) -> list[dict[str, Any]]:
    """Return the bars of throughput against the better peer, for a step and for the own epoch loop."""
    return [
        bar(
            f"rows/s over the better peer's, {part}, {what}",
            middle(found, OURS, f"{part}_rows_per_s") / against(found, f"{part}_rows_per_s", most=True),
            least, "×", at_least=True,
        )
        for part in ("step", "epoch")
    ]  # fmt: skip


def measure_speed(peers: Path | None, *, quick: bool) -> list[dict[str, Any]]:
    """Measure everything and print the figures; without peers, only what needs none."""
    base = replace(BASE, seconds=1.5 if quick else 6.0)
    large = replace(base, cardinalities=(1_000_000,) * COLUMNS)
    times = 1 if quick else 3
    pythons = systems(peers)
    ours = {OURS: pythons[OURS]}
    small_rounds = rounds(pythons, base, times)
    shown = [("10⁵ ids", small_rounds)]
    bars: list[dict[str, Any]] = []
    if peers is not None:
        large_rounds = rounds(pythons, large, 1)
        shown.append(("10⁶ ids", large_rounds))
        bars += compare(small_rounds, "float32", 2.3) + compare(large_rounds, "10⁶ ids per column", 50.0)
        memory = middle(large_rounds, OURS, "memory_mb") / against(large_rounds, "memory_mb", most=False)
        bars.append(bar("peak memory over the smaller peer's, 10⁶ ids", memory, 1.0, "×", at_least=False))
        scoring = against(small_rounds, "score_ms", most=False) / middle(small_rounds, OURS, "score_ms")
        bars.append(bar("faster than both peers at 100 candidates", scoring, 1.6, "×", at_least=True))
    if has_fast_bfloat16():
        half_rounds = small_rounds | rounds(ours, replace(base, bfloat16=True), times)
        shown.append(("10⁵ ids, bfloat16", half_rounds))
        bars += compare(half_rounds, "bfloat16", 4.5) if peers else []
    else:
        sys.stdout.write("bfloat16: this processor has no instructions for it; not timed\n")
    ids = (100_000, 1_000_000 if quick else 10_000_000)
    bars += _scaling(ours, base, middle(small_rounds, OURS, "step_rows_per_s"), ids, times)
    sys.stdout.write(speed_table(shown))
    return bars


def _scaling(
    ours: dict[str, str], base: Setting, usual: float, ids: tuple[int, int], times: int
) -> list[dict[str, Any]]:
    """Show that the cost of a step is linear in its rows and does not depend on the tables' size."""
    double = rounds(ours, replace(base, batch=2 * base.batch), times)
    per_row = usual / middle(double, OURS, "step_rows_per_s")
    # width 4, so that 10⁷ ids in each of 26 columns fit a small machine
    narrow = [replace(base, dim=4, cardinalities=(each,) * COLUMNS) for each in ids]
    small, large = (middle(rounds(ours, each, times), OURS, "step_rows_per_s") for each in narrow)
    return [
        bar("cost of a row at twice the batch, over that at 2048", per_row, 1.1, "×", at_least=False),
        bar(
            f"cost of a step at {ids[1]:,} ids per column, over that at {ids[0]:,}",
            small / large,
            1.3,
            "×",
            at_least=False,
        ),
    ]


def speed_table(shown: Sequence[tuple[str, dict[str, Rounds]]]) -> str:
    """Return medians, with the least and the most of the rounds, as a Markdown table."""
    rows = [
        [what, system, *(_range(figures[name], 2 if name == "score_ms" else 0) for name in FIGURES)]
        for what, found in shown
        for system, figures in found.items()
    ]
    return table(["tables", "system", "step, rows/s", "epoch loop, rows/s", "100 candidates, ms", "memory, MB"], rows)


def _range(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
