"""Methods of delayed feedback against a known truth: `python -m benchmarks.learning.delayed_feedback`.

    --quick      a smaller stream
    --json FILE  write every seed's figures
    --svg FILE   draw them

Rows of the real joiner core, the product's own losses, a logistic model, one step an hour, judged on the next hour
(delayed_stream.py, delayed_learner.py). The step, the drift and the sizes were chosen on seeds 100 to 102; the seeds
here were not looked at before.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Final, NamedTuple

import torch

from benchmarks.learning.delayed_learner import LEARNERS, Figures, learn
from benchmarks.learning.delayed_picture import draw
from benchmarks.learning.delayed_stream import Law, make_stream

SEEDS: Final = (0, 1, 2)
LAWS: Final = {
    "by features": Law(),
    "one for all": Law(spread=0.0),
    "by features, rare labels": Law(base=-4.5),
    "by features, with carts": Law(carts=True),
    "one for all, traffic with day and night": Law(spread=0.0, tide=0.9),
}
JUDGED: Final = "by features"
"""The law whose bars are judged; the others show where methods differ less, or fail."""
TIDES: Final = "one for all, traffic with day and night"
"""The law by which `balanced` is judged."""
GAP_SHARE: Final = 0.35
"""Of the gap between vanilla's and the oracle's AUC: what ES-DFM closes on the Criteo log."""

Found = dict[str, list[Figures]]
"""Per learner a list, one entry per seed."""


class Bar(NamedTuple):
    """One claim."""

    claim: str
    value: float
    holds: bool


def measure(law: Law, *, slates_per_hour: int, hours: int) -> Found:
    """Return figures per seed, judged over the second half of the hours, of every learner that the law has rows for."""
    learners = {name: learner for name, learner in LEARNERS.items() if law.carts or not learner.by_carts}
    found: Found = {name: [] for name in learners}
    for seed in SEEDS:
        stream = make_stream(seed, slates_per_hour=slates_per_hour, hours=hours, law=law)
        for name, learner in learners.items():
            found[name].append(learn(stream, learner, judge_from=hours // 2))
    return found


def closed(found: Found, name: str) -> list[float]:
    """Return per seed the share of the AUC gap from vanilla to the oracle that a learner closes."""
    return [
        (own.auc - vanilla.auc) / (oracle.auc - vanilla.auc)
        for own, vanilla, oracle in zip(found[name], found["vanilla"], found["oracle"], strict=True)
    ]


def bars(found: Found) -> list[Bar]:
    """Judge es-dfm; the worst seed counts."""
    trios = list(zip(found["oracle"], found["es-dfm"], found["vanilla"], strict=True))
    behind = min(own.nll - oracle.nll for oracle, own, _ in trios)
    ahead = min(vanilla.nll - own.nll for _, own, vanilla in trios)
    share = min(closed(found, "es-dfm"))
    off = max(abs(own.calibration - 1.0) for _, own, _ in trios)
    return [
        Bar("oracle better than es-dfm: NLL between them, above 0", behind, behind > 0.0),
        Bar("es-dfm better than vanilla: NLL between them, above 0", ahead, ahead > 0.0),
        Bar(f"es-dfm's share of the AUC gap, at least {GAP_SHARE}", share, share >= GAP_SHARE),
        Bar("es-dfm's calibration off 1, at most 0.05", off, off <= 0.05),
    ]


def tide_bars(found: Found) -> list[Bar]:
    """Judge balanced where traffic swings; the worst seed counts."""
    pairs = list(zip(found["balanced, one F"], found["es-dfm, one F"], strict=True))
    off = max(abs(own.calibration - 1.0) for own, _ in pairs)
    swing = max(own.swing / plain.swing for own, plain in pairs)
    ahead = min(plain.nll - own.nll for own, plain in pairs)
    return [
        Bar("day and night: balanced's calibration off 1, at most 0.05", off, off <= 0.05),
        Bar("day and night: balanced's swing over es-dfm's, at most 0.33", swing, swing <= 0.33),
        Bar("day and night: balanced better than es-dfm: NLL between them, above 0", ahead, ahead > 0.0),
    ]


def table(found: Found) -> str:
    """Return means and standard deviations over seeds, and every seed's share of the gap."""
    lines = [
        "| method | NLL | AUC | PR-AUC | calibration | its swing | share of the AUC gap closed, per seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in found.items():
        columns = zip(*(dataclasses.astuple(each) for each in figures), strict=True)
        cells = [f"{mean(values):.4f} ± {stdev(values):.4f}" for values in columns]
        shares = ", ".join(f"{share:.2f}" for share in closed(found, name))
        lines.append(f"| {name} | {' | '.join(cells)} | {shares} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller stream")
    parser.add_argument("--json", type=Path, help="write every seed's figures there")
    parser.add_argument("--svg", type=Path, help="draw the judged law there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = {"slates_per_hour": 40, "hours": 96} if arguments.quick else {"slates_per_hour": 40, "hours": 168}
    written: dict[str, Any] = {"seeds": SEEDS, **size}
    for name, law in LAWS.items():
        found = measure(law, **size)
        print(f"\nDelays {name}: {law}, {size}, seeds {SEEDS}\n\n{table(found)}\n", flush=True)
        written[name] = {
            learner: [dataclasses.asdict(each) for each in each_seed] for learner, each_seed in found.items()
        }
        if name in (JUDGED, TIDES):
            judged = bars(found) if name == JUDGED else tide_bars(found)
            written.setdefault("bars", []).extend(bar._asdict() for bar in judged)
            print("\n".join(f"{'holds ' if bar.holds else 'MISSED'}  {bar.claim}: {bar.value:.5f}" for bar in judged))
            if arguments.svg and name == JUDGED:
                arguments.svg.write_text(draw({learner: closed(found, learner) for learner in found}, found))
    if arguments.json:
        arguments.json.write_text(json.dumps(written, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
