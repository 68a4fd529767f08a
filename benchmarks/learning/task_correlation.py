"""MMoE's synthetic experiment (Ma et al. 2018, section 3): what happens as two tasks drift apart.

    python -m benchmarks.learning.task_correlation [--quick] [--json FILE] [--results FOLDER]

Two regressions read the same x ~ N(0, I) of 100 numbers. With orthogonal unit vectors u1, u2 and a correlation p

    w1 = u1,   w2 = p u1 + sqrt(1 - p^2) u2,   y_k = w_k x + sum_i sin(alpha_i w_k x + beta_i) + N(0, 0.01)

Published: both mixtures beat the Shared-Bottom at every p; MMoE suffers little from a low p, OMoE clearly more; at
p = 1 the two are alike. Each run has its own draw of u1, u2, rows and first weights; rows are never seen twice.
alpha and beta are not in the paper: ALPHA and BETA are ours. As published: 8 experts of 16 units, towers of 8 units,
Adam; the Shared-Bottom has as many parameters.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.bars import bar, mean_sd, say_bars, table
from benchmarks.learning.picture import Line, draw
from springtide.model.config import ModelConfig
from springtide.model.presets import preset
from springtide.model.tabular import Columns, TabularNetwork

INPUTS: Final = 100
CORRELATIONS: Final = (0.5, 0.9, 1.0)
MODELS: Final = {
    "shared-bottom": ModelConfig(expert_units=(126,), tower_units=(8,)),
    "omoe": ModelConfig(experts=8, expert_units=(16,), tower_units=(8,)),
    "mmoe": ModelConfig(experts=8, expert_units=(16,), tower_units=(8,)),
}
ALPHA: Final = (1.0, 2.0)
BETA: Final = (0.0, 1.0)
BATCH, TEST_ROWS = 128, 2_048
NO_ROWS: Final = torch.zeros(0, 0, dtype=torch.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Generator:
    """Draws rows of one pair of tasks."""

    weights_I2: Tensor
    random: torch.Generator

    @classmethod
    def make(cls, correlation: float, seed: int) -> "Generator":
        """Return a pair of tasks; `correlation` is the cosine between their weights."""
        random = torch.Generator().manual_seed(seed)
        basis_I2 = torch.linalg.qr(torch.randn(INPUTS, 2, generator=random)).Q
        mix_22 = torch.tensor([[1.0, correlation], [0.0, (1.0 - correlation**2) ** 0.5]])
        return cls(weights_I2=basis_I2 @ mix_22, random=random)

    def draw(self, rows: int) -> tuple[Tensor, Tensor]:
        """Return x (B, 100) and y (B, 2)."""
        x_BI = torch.randn(rows, INPUTS, generator=self.random)
        linear_B2 = x_BI @ self.weights_I2
        sines_B2 = sum((torch.sin(a * linear_B2 + b) for a, b in zip(ALPHA, BETA, strict=True)), torch.zeros(()))
        return x_BI, linear_B2 + sines_B2 + 0.1 * torch.randn(rows, 2, generator=self.random)


def learn(name: str, correlation: float, seeds: Sequence[int], steps: int, looks: int) -> list[list[float]]:
    """Return each seed's mean squared error over both tasks at `looks` evenly spaced steps.

    All seeds learn at once, their networks stacked: Adam works number by number, so that each learns as if alone.
    """
    sources = [Generator.make(correlation, seed) for seed in seeds]
    networks = [
        TabularNetwork(replace(preset(name, MODELS[name]), seed=seed), Columns(dense=INPUTS), heads=2) for seed in seeds
    ]
    parameters, buffers = torch.func.stack_module_state(networks)

    def error(own: dict[str, Tensor], rest: dict[str, Tensor], x_BI: Tensor, y_B2: Tensor) -> Tensor:
        predicted_B2 = torch.func.functional_call(networks[0], (own, rest), (x_BI, NO_ROWS))
        mean: Tensor = (predicted_B2 - y_B2).square().mean()
        return mean

    errors_of = torch.vmap(error)
    adam = torch.optim.Adam(parameters.values(), lr=ModelConfig().dense_learning_rate)
    test = _stacked(sources, TEST_ROWS)
    seen = []
    for step in range(1, steps + 1):
        adam.zero_grad(set_to_none=True)
        errors_of(parameters, buffers, *_stacked(sources, BATCH)).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
        if step % (steps // looks) == 0:
            with torch.no_grad():
                seen.append(errors_of(parameters, buffers, *test).tolist())
    return [list(curve) for curve in zip(*seen, strict=True)]


def _stacked(sources: Sequence[Generator], rows: int) -> tuple[Tensor, Tensor]:
    drawn = [source.draw(rows) for source in sources]
    return torch.stack([x_BI for x_BI, _ in drawn]), torch.stack([y_B2 for _, y_B2 in drawn])


def judge(final: dict[tuple[str, float], list[float]]) -> list[dict[str, Any]]:
    """Return the published ordering as bars over mean errors."""
    mean = {key: statistics.fmean(values) for key, values in final.items()}
    bars = []
    for p in CORRELATIONS:
        for name in ("omoe", "mmoe"):
            ratio = mean[name, p] / mean["shared-bottom", p]
            bars.append(bar(f"error of {name} over shared-bottom's at {p}", ratio, 1.0, "×", at_least=False))
    bars.append(
        bar("error of mmoe over omoe's at 0.5", mean["mmoe", 0.5] / mean["omoe", 0.5], 1.0, "×", at_least=False)
    )
    worse = {name: mean[name, 0.5] / mean[name, 1.0] for name in ("omoe", "mmoe")}
    bars.append(
        bar("growth of error from 1 to 0.5, mmoe over omoe", worse["mmoe"] / worse["omoe"], 1.0, "×", at_least=False)
    )
    apart = abs(mean["mmoe", 1.0] / mean["omoe", 1.0] - 1.0)
    bars.append(bar("mmoe and omoe apart at 1, as a share", apart, 0.1, "", at_least=False))
    return bars


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.task_correlation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 seeds and a fifth of the steps")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--json", type=Path, help="write the bars here")
    parser.add_argument("--results", type=Path, help="write the table and the picture into this folder")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds, steps, looks = (range(3), given.steps // 5, 5) if given.quick else (range(given.seeds), given.steps, 20)
    sys.stdout.write(f"seeds {seeds.start} to {seeds.stop - 1}, {steps} steps of {BATCH} rows\n")
    curves: dict[tuple[str, float], list[list[float]]] = {}
    begun = time.thread_time()
    for p in CORRELATIONS:
        for name in MODELS:
            curves[name, p] = learn(name, p, seeds, steps, looks)
            last = mean_sd([curve[-1] for curve in curves[name, p]])
            sys.stdout.write(f"{p}  {name:14} {last}  ({time.thread_time() - begun:.0f} s)\n")
            sys.stdout.flush()
    final = {key: [curve[-1] for curve in runs] for key, runs in curves.items()}
    bars = judge(final)
    rows = [[name, *(mean_sd(final[name, p]) for p in CORRELATIONS)] for name in MODELS]
    text = table(["mean squared error", *(f"correlation {p}" for p in CORRELATIONS)], rows)
    sys.stdout.write(text)
    if given.results:
        (given.results / "task-correlation.svg").write_text(_picture(curves, steps))
        (given.results / "task-correlation.txt").write_text(text)
    say_bars(bars, given.json)
    return 0


def _picture(curves: dict[tuple[str, float], list[list[float]]], steps: int) -> str:
    panels = {}
    for p in CORRELATIONS:
        panels[f"correlation {p}"] = {name: _line(curves[name, p], steps) for name in MODELS}
    note = "test error by step, mean over seeds; whiskers: standard deviation of the last"
    return draw("Two tasks drift apart: mean squared error", note, panels)


def _line(runs: list[list[float]], steps: int) -> Line:
    looks = len(runs[0])
    columns = list(zip(*runs, strict=True))[looks // 4 :]  # the first, steep part would flatten the rest
    return Line(
        xs=tuple((looks // 4 + index + 1) * steps / looks for index in range(len(columns))),
        means=tuple(statistics.fmean(column) for column in columns),
        spreads=tuple(statistics.stdev(column) for column in columns),
    )


if __name__ == "__main__":
    sys.exit(main())
