"""One job for every system: learn a table of rows, be timed at it. Needs torch and numpy alone: peers run it too.

Each system is a file beside this one with a class that is a `System`, run in the environment of its own packages:

    python -m benchmarks.model_peers.NAME learn TABLE.npz SCORES.npz SETTING.json
    python -m benchmarks.model_peers.NAME time SETTING.json

`learn` writes each epoch's scores of the valid and test rows, `PART_SEED`, per seed; `time` prints figures as JSON.
Shapes: N rows, C categorical columns, I dense columns, K tasks, V epochs.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What to build and how to run it; the same for every system."""

    model: str = "mmoe"
    """`shared-bottom`, `omoe`, `mmoe` or `ple`."""
    cardinalities: tuple[int, ...]
    """Ids of each categorical column."""
    dense: int
    """Dense columns, I."""
    tasks: int
    """Binary tasks, K."""
    dim: int = 16
    """Width of the embeddings."""
    experts: int = 4
    """Experts, E; of `ple` those that tasks share, beside one of each task's own."""
    expert_units: tuple[int, ...] = (256, 128)
    """Units per layer of an expert."""
    trunk_units: tuple[int, ...] = (256, 128)
    """Units per layer of a shared bottom."""
    tower_units: tuple[int, ...] = (64,)
    """Hidden units per layer of a tower."""
    batch: int = 2048
    """Rows per step."""
    seeds: tuple[int, ...] = (1,)
    """Of first weights and of the order of rows; a run of its own for each."""
    epochs: int = 1
    """Passes over the rows to learn."""
    learning_rate: float = 0.001
    """Of Adam."""
    bfloat16: bool = False
    """Multiply matrices in bfloat16, where the system can; peers refuse."""
    seconds: float = 6.0
    """How long to time each thing."""

    @classmethod
    def read(cls, path: str) -> "Setting":
        """Read what a parent wrote as JSON."""
        values: dict[str, Any] = json.loads(Path(path).read_text())
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**(values | lists))


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Rows of a table."""

    dense_NI: Floats
    ids_NC: NDArray[np.int64]
    labels_NK: Floats

    def __len__(self) -> int:
        return len(self.dense_NI)

    @classmethod
    def from_arrays(cls, arrays: Any, part: str) -> "Rows":
        """Read `PART_dense`, `PART_ids`, `PART_labels`."""
        return cls(dense_NI=arrays[f"{part}_dense"], ids_NC=arrays[f"{part}_ids"], labels_NK=arrays[f"{part}_labels"])

    @classmethod
    def made_up(cls, rows: int, setting: Setting, seed: int) -> "Rows":
        """Draw rows at random."""
        random = np.random.default_rng(seed)
        return cls(
            dense_NI=random.random((rows, setting.dense), np.float32),
            ids_NC=random.integers(0, np.array(setting.cardinalities), (rows, len(setting.cardinalities))),
            labels_NK=(random.random((rows, setting.tasks)) < 0.3).astype(np.float32),
        )


Build = Callable[[Setting, int], "System"]
"""Makes a system of a setting and a seed."""


class System(Protocol):
    """A model with its own way to learn."""

    def lay_out(self, rows: Rows) -> Any:
        """Return rows as `step` and `scores` want them."""

    def step(self, laid_out: Any) -> None:
        """Learn one batch."""

    def epoch(self, rows: Rows) -> None:
        """Learn all rows once in shuffled batches, by its own loop."""

    def scores(self, laid_out: Any) -> Floats:
        """Return probabilities, (N, K)."""


def learn(system: System, arrays: Any, epochs: int, seed: int) -> dict[str, Floats]:
    """Return scores of the valid and the test rows after each epoch, (V, N, K) each, as `PART_SEED`."""
    train = Rows.from_arrays(arrays, "train")
    parts = {part: system.lay_out(Rows.from_arrays(arrays, part)) for part in ("valid", "test")}
    scores: dict[str, list[Floats]] = {"valid": [], "test": []}
    for _ in range(epochs):
        system.epoch(train)
        for part, laid_out in parts.items():
            scores[part].append(system.scores(laid_out))
    return {f"{part}_{seed}": np.stack(values) for part, values in scores.items()}


def timed(work: Callable[[], object], seconds: float) -> list[float]:
    """Return this thread's CPU seconds of each call, after a warm-up of two."""
    work()
    work()
    spent: list[float] = []
    while sum(spent) < seconds and len(spent) < 300:
        begun = time.thread_time()
        work()
        spent.append(time.thread_time() - begun)
    return spent


def measure(system: System, setting: Setting) -> dict[str, float]:
    """Return medians: samples a second of a step and of an epoch, ms for 100 candidates, peak memory."""
    batches = [system.lay_out(Rows.made_up(setting.batch, setting, seed)) for seed in range(4)]
    turn = iter(range(1_000_000))
    step = timed(lambda: system.step(batches[next(turn) % 4]), setting.seconds)
    rows = Rows.made_up(4 * setting.batch, setting, 9)
    epoch = timed(lambda: system.epoch(rows), setting.seconds)
    candidates = system.lay_out(Rows.made_up(100, setting, 10))
    score = timed(lambda: system.scores(candidates), setting.seconds / 4)
    return {
        "step_rows_per_s": setting.batch / float(np.median(step)),
        "epoch_rows_per_s": len(rows) / float(np.median(epoch)),
        "score_ms": float(np.median(score)) * 1e3,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main(build: Build) -> None:
    """Do what the command line asks."""
    torch.set_num_threads(1)
    setting = Setting.read(sys.argv[-1])
    if sys.argv[1] == "time":
        figures = measure(build(setting, setting.seeds[0]), setting)
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        with np.load(sys.argv[2]) as file:
            arrays = dict(file)
        scores: dict[str, Floats] = {}
        for seed in setting.seeds:
            scores |= learn(build(setting, seed), arrays, setting.epochs, seed)
        np.savez(sys.argv[3], **scores)  # type: ignore[arg-type]
    sys.stdout.flush()
    os._exit(0)  # some peers' threads outlive their work
