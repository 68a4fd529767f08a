"""KDD Census-Income, the real data of MMoE's paper: this project's presets and two other libraries on one split.

    python -m benchmarks.learning.census --data FILE.gz [--peers FOLDER] [--quick] [--json FILE] [--results FOLDER]

All systems read the same arrays (census_table.py), have equal sizes, and learn by their own loops: Adam at 0.001 for
the layers everywhere; tables by row-wise Adagrad here, by Adam in torch-rechub and DeepCTR-Torch. After each epoch the
valid rows are scored; the epoch with the best valid AUC of the main task gives the test AUC. Peers run on the pair of
income alone. `--keep FOLDER` stores every run's scores there and does not repeat those that it finds.
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.bars import bar, mean_sd, say_bars, table
from benchmarks.learning.census_table import LABELS, PAIRS, SPLIT_SEED, encode, read_texts
from benchmarks.learning.picture import Line, draw
from benchmarks.model_peers.contest import Setting
from benchmarks.model_peers.environments import OURS, run, systems

MODELS: Final = ("shared-bottom", "omoe", "mmoe", "ple")
PEER_MODELS: Final = ("shared-bottom", "mmoe", "ple")
SIZES: Final = {
    "expert_units": (64, 32), "trunk_units": (128, 64), "tower_units": (32,), "dim": 16, "batch": 512, "epochs": 6,
}  # fmt: skip
Aucs = list[tuple[float, float]]
"""Test AUC of the main and the other task, a pair per seed."""


def best_epoch_aucs(scores: Any, arrays: Any, pair: tuple[str, str], seeds: range) -> Aucs:
    """Return the test AUCs at each seed's best epoch on the valid rows."""
    result = []
    columns = [LABELS.index(task) for task in pair]
    valid_N2, test_N2 = (arrays[f"{part}_labels"][:, columns] for part in ("valid", "test"))
    for seed in seeds:
        curve = [roc_auc_score(valid_N2[:, 0], epoch_N2[:, 0]) for epoch_N2 in scores[f"valid_{seed}"]]
        test = scores[f"test_{seed}"][int(np.argmax(curve))]
        main, other = (float(roc_auc_score(test_N2[:, task], test[:, task])) for task in (0, 1))
        result.append((main, other))
    return result


class Census:
    """Runs systems on the encoded table and keeps their scores."""

    def __init__(self, data: Path, keep: Path, seeds: range, epochs: int | None) -> None:
        self.arrays, cardinalities = encode(read_texts(data))
        self._keep, self.seeds = keep, seeds
        dense = self.arrays["train_dense"].shape[1]
        setting = Setting(cardinalities=cardinalities, dense=dense, tasks=2, seeds=tuple(seeds), **SIZES)  # type: ignore[arg-type]
        self._setting = setting if epochs is None else replace(setting, epochs=epochs)

    def run(self, python: str, system: str, model: str, pair: tuple[str, str]) -> Aucs:
        """Let a system learn with every seed."""
        columns = [LABELS.index(task) for task in pair]
        arrays: dict[str, NDArray[np.generic]] = {
            name: values[:, columns] if name.endswith("_labels") else values for name, values in self.arrays.items()
        }
        scores = self._keep / f"{system}-{model}-{pair[0]}-{len(self.seeds)}-{self._setting.epochs}.npz"
        if not scores.exists():
            with tempfile.TemporaryDirectory() as folder:
                table_path = Path(folder) / "table.npz"
                np.savez(table_path, **arrays)  # type: ignore[arg-type]
                run(python, system, ["learn", str(table_path), str(scores)], replace(self._setting, model=model))
        with np.load(scores) as found:
            return best_epoch_aucs(found, self.arrays, pair, self.seeds)


def judge(results: dict[tuple[str, str, str], Aucs]) -> list[dict[str, Any]]:
    """Return the bars: against peers, and the mixtures against the Shared-Bottom."""
    mean = {key: statistics.fmean(main for main, _ in aucs) for key, aucs in results.items()}
    ours = {model: mean[OURS, model, "income"] for model in MODELS}
    best = max(ours, key=lambda model: ours[model])
    bars = []
    peers = {key: value for key, value in mean.items() if key[0] != OURS}
    if peers:
        rival = max(peers, key=lambda key: peers[key])
        name = f"income AUC of {best}, less that of the best peer's ({rival[0]} {rival[1]})"
        bars.append(bar(name, ours[best] - peers[rival], 0.0, "", at_least=True))
        same = max(value for key, value in peers.items() if key[1] == "mmoe")
        bars.append(
            bar("income AUC of mmoe, less that of the better peer's mmoe", ours["mmoe"] - same, 0.0, "", at_least=True)
        )
    for pair in PAIRS:
        for model in ("mmoe", "ple"):
            gain = mean[OURS, model, pair[0]] - mean[OURS, "shared-bottom", pair[0]]
            bars.append(bar(f"{pair[0]} AUC of {model}, less shared-bottom's", gain, 0.0, "", at_least=True))
    return bars


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.census", description=__doc__)
    parser.add_argument("--data", type=Path, help="census-income.test.gz of UCI's KDD Census-Income")
    parser.add_argument("--peers", type=Path, help="virtual environment of the peers")
    parser.add_argument("--keep", type=Path, help="folder of runs that are not repeated")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 2 epochs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the bars here")
    parser.add_argument("--results", type=Path, help="write the table and the picture into this folder")
    given = parser.parse_args()
    if given.data is None or not given.data.exists():
        sys.stdout.write("census: no data; give --data FILE.gz, the test half of UCI's KDD Census-Income\n")
        return 0
    seeds = range(1, 3 if given.quick else given.seeds + 1)
    sys.stdout.write(f"seeds {seeds.start} to {seeds.stop - 1}, split by seed {SPLIT_SEED}\n")
    results: dict[tuple[str, str, str], Aucs] = {}
    with tempfile.TemporaryDirectory() as folder:
        keep = given.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        census = Census(given.data, keep, seeds, 2 if given.quick else None)
        for system, python in systems(given.peers).items():
            for pair in PAIRS if system == OURS else PAIRS[:1]:
                for model in MODELS if system == OURS else PEER_MODELS:
                    aucs = results[system, model, pair[0]] = census.run(python, system, model, pair)
                    sys.stdout.write(f"{pair[0]:10} {system:14} {model:14} {_said(aucs, 0)}  {_said(aucs, 1)}\n")
                    sys.stdout.flush()
    text = table(
        ["pair", "system", "model", "test AUC of the first", "of marital status"],
        [[" + ".join(pair), system, model, _said(results[system, model, pair[0]], 0),
          _said(results[system, model, pair[0]], 1)]
         for pair in PAIRS for system, model, main_task in results if main_task == pair[0]],
    )  # fmt: skip
    sys.stdout.write(text)
    if given.results:
        (given.results / "census.svg").write_text(_picture(results))
        (given.results / "census.txt").write_text(text)
    say_bars(judge(results), given.json)
    return 0


def _said(aucs: Aucs, task: int) -> str:
    return mean_sd([pair[task] for pair in aucs])


def _picture(results: dict[tuple[str, str, str], Aucs]) -> str:
    panels: dict[str, dict[str, Line]] = {}
    for (system, model, main_task), aucs in results.items():
        if main_task != PAIRS[0][0]:
            continue
        values = [main for main, _ in aucs]
        panels.setdefault(system, {})[model] = Line(
            xs=(float(MODELS.index(model)),),
            means=(statistics.fmean(values),),
            spreads=(statistics.stdev(values) if len(values) > 1 else 0.0,),
        )
    return draw("Census: test AUC of income", "mean over seeds; whiskers: standard deviation", panels)


if __name__ == "__main__":
    sys.exit(main())
