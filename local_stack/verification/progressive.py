"""A replayed log's probabilities before learning, against what popularity and a user's own rate would have said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from local_stack.summary import Bar, Finished
from local_stack.verification.log_join import expected_rows
from springtide.contracts.tasks import TASKS
from springtide.quality.auc import exact_auc

CHAINS: Final = ("daily", "minute")
SMOOTHING: Final = 10.0
"""Exposures at the mean rate that every item and user is credited with before its first."""

Floats = NDArray[np.float64]


def check_progressive(run: Finished) -> Iterator[Bar]:
    """Hold each chain's AUC on all rows that it scored against the baselines' AUC on the same rows."""
    expected = expected_rows(run)
    for chain in CHAINS:
        scored = read_scores(run.plan.state / "trainer" / "scores" / chain)
        rows = expected.merge(scored, on=["request_id", "item_id"], suffixes=("", "_p"))
        for task in TASKS:
            if rows[task].any():
                yield from progressive_bars(rows, chain, task)


def read_scores(folder: Path) -> pd.DataFrame:
    """Return each row's probabilities once: those of the last life that scored it, before it learned it."""
    tables = [pd.read_parquet(file) for file in sorted(folder.glob("*.parquet"), key=lambda file: file.stat().st_mtime)]
    if not tables:
        return pd.DataFrame(columns=["request_id", "item_id", *TASKS])
    rows = pd.concat(tables, ignore_index=True)
    rows = rows[rows["phase"].isin(["observed", "final"])]
    return rows.drop_duplicates(["request_id", "item_id"], keep="last")[["request_id", "item_id", *TASKS]]


def progressive_bars(rows: pd.DataFrame, chain: str, task: str) -> Iterator[Bar]:
    """Yield one bar per baseline."""
    labels_N = rows[task].to_numpy(np.float64)
    model = exact_auc(rows[f"{task}_p"].to_numpy(np.float64), labels_N) or 0.0
    for name, scores_N in baselines(rows, task).items():
        auc = exact_auc(scores_N, labels_N) or 0.0
        yield Bar(
            bar=f"progressive AUC of {task}, {chain} chain, {len(rows)} rows; over {name}",
            value=round(model, 4), limit=round(auc, 4), holds=model > auc, unit="AUC",
        )  # fmt: skip


def baselines(rows: pd.DataFrame, task: str) -> dict[str, Floats]:
    """Score each row by what had happened before its moment: more than a chain knows, which waits for its labels."""
    mean = float(rows[task].mean())
    labels: dict[str, Counter[str]] = {"item_id": Counter(), "user_id": Counter()}
    shown: dict[str, Counter[str]] = {"item_id": Counter(), "user_id": Counter()}
    scores = {name: np.zeros(len(rows)) for name in ("item popularity", "item rate", "user rate")}
    keys = {key: rows[key].to_list() for key in labels}
    exposed = [(time, 0, place) for place, time in enumerate(rows["time_ms"])]
    labelled = [(time, 1, place) for place, time in enumerate(rows[f"{task}_ms"]) if time >= 0]
    for _, kind, place in sorted(exposed + labelled):
        names = {key: values[place] for key, values in keys.items()}
        if kind == 1:
            for key, name in names.items():
                labels[key][name] += 1
            continue
        rates = {
            key: (labels[key][name] + SMOOTHING * mean) / (shown[key][name] + SMOOTHING) for key, name in names.items()
        }
        scores["item popularity"][place] = labels["item_id"][names["item_id"]]
        scores["item rate"][place], scores["user rate"][place] = rates["item_id"], rates["user_id"]
        for key, name in names.items():
            shown[key][name] += 1
    return scores
