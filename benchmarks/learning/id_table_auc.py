"""The id table against modulo hashing: `python -m benchmarks.learning.id_table_auc [--quick] [--json FILE]`.

A catalogue that drifts: every day a part of the items goes and as many new ones come. Both arms are the same small
factorisation model, learned by row-wise Adagrad on the same stream, every row scored before it is learned; they differ
in how an item finds its row alone. Memory is equal in bytes: what the id table takes for its ids, hashing has in more
rows. The click probabilities' own AUC is the most that any model could reach.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from springtide.contracts.topics import DAY_MS
from springtide.model.id_table import IdTable
from springtide.model.id_words import as_ids
from springtide.model.initial import initial_vectors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SEEDS: Final = (1, 2, 3, 4, 5)
SHARES: Final = (0.5, 1.0, 2.0)
"""Rows of the id table, as a share of the items on sale at a time."""
ROW_STATE_BYTES: Final = 4
"""Of row-wise Adagrad, beside the vector."""
DIM: Final = 16
BATCH: Final = 250
RATE: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """What is sold and who looks."""

    items: int = 4_000
    """On sale at a time."""
    replaced: float = 0.08
    """Share of them that goes each day, for as many new ones."""
    days: int = 9
    rows_per_day: int = 20_000
    """Impressions."""
    users: int = 500
    factors: int = 4
    """Of taste, in the truth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One batch of N impressions."""

    day: int
    time_ms: int
    users_N: Ints
    items_N: Ints
    p_N: Floats
    """True probability of a click."""
    clicks_N: Floats


class Arm:
    """A model of one way from item to row."""

    def __init__(self, users: int, rows: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.users_UD = 0.1 * random.normal(size=(users, DIM))
        self.users_UD[:, 0] = 1.0  # so that an item's first number is its bias
        self.rows_RD = self.fresh(np.arange(rows))
        self.users_state_U, self.rows_state_R, self.bias = np.zeros(users), np.zeros(rows), -1.5

    @staticmethod
    def fresh(rows: Ints) -> Floats:
        """Return first vectors."""
        return initial_vectors("item", rows, DIM, 0).astype(np.float64)

    def place(self, items_N: Ints, time_ms: int) -> Ints:
        """Return each item's row."""
        raise NotImplementedError

    def score_and_learn(self, shown: Shown) -> Floats:
        """Return each row's score, given before it was learned."""
        rows_N, users_N = self.place(shown.items_N, shown.time_ms), shown.users_N
        items_ND, tastes_ND = self.rows_RD[rows_N], self.users_UD[users_N]
        logits_N = self.bias + (items_ND * tastes_ND).sum(axis=1)
        error_N = 1.0 / (1.0 + np.exp(-logits_N)) - shown.clicks_N
        self.bias -= 0.01 * float(error_N.mean())
        step(self.rows_RD, self.rows_state_R, rows_N, error_N[:, None] * tastes_ND)
        taste_steps_ND = error_N[:, None] * items_ND
        taste_steps_ND[:, 0] = 0.0
        step(self.users_UD, self.users_state_U, users_N, taste_steps_ND)
        return np.asarray(logits_N)


def step(table_RD: Floats, state_R: Floats, rows_N: Ints, steps_ND: Floats) -> None:
    """Take one step of row-wise Adagrad: gradients of a row are summed, then its state grows by their mean square."""
    rows_K, which_N = np.unique(rows_N, return_inverse=True)
    gradients_KD = np.zeros((len(rows_K), table_RD.shape[1]))
    np.add.at(gradients_KD, which_N, steps_ND)
    state_R[rows_K] += (gradients_KD**2).mean(axis=1)
    table_RD[rows_K] -= RATE * gradients_KD / (np.sqrt(state_R[rows_K]) + 1e-8)[:, None]


class Hashed(Arm):
    """Items share rows by their hash modulo the number of rows."""

    def place(self, items_N: Ints, time_ms: int) -> Ints:
        """Return each item's row; nothing is ever told apart again."""
        del time_ms
        return np.asarray(as_ids(items_N).hashes() % np.uint64(len(self.rows_RD)), np.int64)


class Tabled(Arm):
    """Items have rows of their own, or wait on the fallback row."""

    def __init__(self, users: int, rows: int, seed: int) -> None:
        super().__init__(users, rows, seed)
        self.table = IdTable(capacity=rows, admission_count=2, expiry_ms=3 * DAY_MS)
        self._day = 0

    def place(self, items_N: Ints, time_ms: int) -> Ints:
        """Return each item's row; a row that was given to another item starts anew."""
        if time_ms // DAY_MS > self._day:
            self._day = time_ms // DAY_MS
            self.table.expire(time_ms)
        rows_N = self.table.observe(items_N, time_ms)
        reset = self.table.rows_to_reset()
        self.rows_RD[reset], self.rows_state_R[reset] = self.fresh(reset), 0.0
        return rows_N


def stream(catalogue: Catalogue, seed: int) -> Iterator[Shown]:
    """Yield the impressions of all days; newer items have larger numbers, popularity is log-normal."""
    random = np.random.default_rng(seed)
    born = catalogue.items
    every = born + int(catalogue.items * catalogue.replaced) * catalogue.days
    level_I, popularity_I = random.normal(0.0, 1.0, every), random.lognormal(0.0, 1.2, every)
    factors_IF = random.normal(0.0, 1.0, (every, catalogue.factors))
    tastes_UF = random.normal(0.0, 0.6, (catalogue.users, catalogue.factors))
    alive = np.arange(born)
    for day in range(catalogue.days):
        if day:
            leaves = random.choice(len(alive), int(catalogue.items * catalogue.replaced), replace=False)
            alive = np.concatenate([np.delete(alive, leaves), np.arange(born, born + len(leaves))])
            born += len(leaves)
        share = popularity_I[alive] / popularity_I[alive].sum()
        for start in range(0, catalogue.rows_per_day, BATCH):
            items_N = random.choice(alive, BATCH, p=share)
            users_N = random.integers(0, catalogue.users, BATCH)
            p_N = 1 / (1 + np.exp(2.0 - level_I[items_N] - (tastes_UF[users_N] * factors_IF[items_N]).sum(axis=1)))
            time_ms = day * DAY_MS + start * DAY_MS // catalogue.rows_per_day
            clicks_N = (random.random(BATCH) < p_N).astype(np.float64)
            yield Shown(day=day, time_ms=time_ms, users_N=users_N, items_N=items_N, p_N=p_N, clicks_N=clicks_N)


def hashed_rows(rows: int) -> int:
    """Return how many rows hashing has for the bytes of an id table of `rows` rows."""
    row_bytes = 4 * DIM + ROW_STATE_BYTES
    ids_bytes = IdTable(capacity=rows, admission_count=1, expiry_ms=1).nbytes + 8 * rows  # an integer is 8 bytes
    return rows + ids_bytes // row_bytes


def play(catalogue: Catalogue, seed: int) -> dict[str, float]:
    """Return every arm's AUC over the days after the first third, and that of the truth."""
    arms: dict[str, Arm] = {}
    for share in SHARES:
        rows = int(share * catalogue.items)
        arms[f"table_{share}"] = Tabled(catalogue.users, rows, seed)
        arms[f"hashed_{share}"] = Hashed(catalogue.users, hashed_rows(rows), seed)
    scores: dict[str, list[Floats]] = {name: [] for name in [*arms, "truth"]}
    clicks = []
    for shown in stream(catalogue, seed):
        given = {name: arm.score_and_learn(shown) for name, arm in arms.items()}
        if shown.day >= catalogue.days // 3:
            clicks.append(shown.clicks_N)
            for name, logits_N in {**given, "truth": shown.p_N}.items():
                scores[name].append(logits_N)
    labels = np.concatenate(clicks)
    return {name: float(roc_auc_score(labels, np.concatenate(parts))) for name, parts in scores.items()}


def main() -> int:
    """Play every seed, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.id_table_auc", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    parser.add_argument("--json", type=Path, help="write the bars here")
    given = parser.parse_args()
    catalogue, seeds = Catalogue(), SEEDS[:2] if given.quick else SEEDS
    runs = []
    for seed in seeds:
        runs.append(play(catalogue, seed))
        line = "  ".join(f"{name} {auc:.4f}" for name, auc in runs[-1].items())
        sys.stdout.write(f"seed {seed}: {line}\n")
        sys.stdout.flush()
    results: list[dict[str, Any]] = []
    for share in SHARES:
        gains = np.array([run[f"table_{share}"] - run[f"hashed_{share}"] for run in runs])
        error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
        sure = float(gains.mean()) - 2.0 * error
        sys.stdout.write(
            f"{int(share * catalogue.items):,} rows against {hashed_rows(int(share * catalogue.items)):,} hashed: "
            f"AUC {gains.mean():+.4f} ± {error:.4f} (standard error)\n"
        )
        results.append(
            {
                "bar": f"auc_gain_{share}",
                "value": round(sure, 5),
                "limit": 0,
                "holds": sure > 0.0,
                "unit": "mean - 2 se",
            }
        )
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(entry["holds"] for entry in results) else 1


if __name__ == "__main__":
    sys.exit(main())
