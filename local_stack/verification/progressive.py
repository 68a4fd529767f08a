"""A replayed log's probabilities before learning, against popularity and a user's own rate from the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from local_stack.summary import Bar, Finished, at_least
from local_stack.verification.log_join import expected_rows
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import DAY_MS
from springtide.quality.auc import exact_auc
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import build_sections, milliseconds

CHAINS: Final = ("daily", "minute")
SMOOTHING: Final = 10.0
"""Exposures at the mean rate that every item and user is credited with before its first."""

Floats = NDArray[np.float64]


def check_progressive(run: Finished) -> Iterator[Bar]:
    """Hold each chain's AUC on all rows that it scored against the baselines' AUC on the same rows."""
    expected = expected_rows(run)
    labels: LabelsConfig = build_sections(run.plan.values, {"labels": LabelsConfig})["labels"]
    for chain in CHAINS:
        scored = read_scores(run.plan.state / "trainer" / "scores" / chain)
        rows = expected.merge(scored, on=["request_id", "item_id"], suffixes=("", "_p"))
        yield at_least(
            f"progressive: rows of whole days that the {chain} chain scored", *_scored(expected, rows), "rows"
        )
        for task in TASKS:
            if rows[task].any():
                known_ms = known_by(rows, chain, task, milliseconds(labels.observed_age))
                yield from progressive_bars(rows, chain, task, known_ms)


def read_scores(folder: Path) -> pd.DataFrame:
    """Return each row's probabilities once: those of the last life that scored it, before it learned it."""
    tables = [pd.read_parquet(file) for file in sorted(folder.glob("*.parquet"), key=lambda file: file.stat().st_mtime)]
    if not tables:
        return pd.DataFrame(columns=["request_id", "item_id", *TASKS])
    rows = pd.concat(tables, ignore_index=True)
    rows = rows[rows["phase"].isin(["observed", "final"])]
    return rows.drop_duplicates(["request_id", "item_id"], keep="last")[["request_id", "item_id", *TASKS]]


def _scored(expected: pd.DataFrame, rows: pd.DataFrame) -> tuple[int, int]:
    """Return how many rows were scored, and how many the log holds, up to the last day but one that was scored."""
    if rows.empty:
        return 0, len(expected)
    last = rows["time_ms"].max() // DAY_MS
    return int((rows["time_ms"] // DAY_MS < last).sum()), int((expected["time_ms"] // DAY_MS < last).sum())


def progressive_bars(rows: pd.DataFrame, chain: str, task: str, known_ms: NDArray[np.int64]) -> Iterator[Bar]:
    """Yield one bar per baseline."""
    labels_N = rows[task].to_numpy(np.float64)
    model = exact_auc(rows[f"{task}_p"].to_numpy(np.float64), labels_N) or 0.0
    for name, scores_N in baselines(rows, task, known_ms).items():
        auc = exact_auc(scores_N, labels_N) or 0.0
        yield Bar(
            bar=f"progressive AUC of {task}, {chain} chain, {len(rows)} rows; over {name}",
            value=round(model, 4), limit=round(auc, 4), holds=model > auc, unit="AUC",
        )  # fmt: skip


def baselines(rows: pd.DataFrame, task: str, known_ms: NDArray[np.int64]) -> dict[str, Floats]:
    """Score each row by the rows before it whose label was known by then: what counting alone would have said.

    Args:
        rows: user_id, item_id, time_ms and the task's label.
        task: whose label is counted.
        known_ms: when a chain could first learn from each row, (N,).
    """
    mean = float(rows[task].mean())
    labels: dict[str, Counter[str]] = {"item_id": Counter(), "user_id": Counter()}
    shown: dict[str, Counter[str]] = {"item_id": Counter(), "user_id": Counter()}
    scores = {name: np.zeros(len(rows)) for name in ("item popularity", "item rate", "user rate")}
    names = {key: rows[key].to_list() for key in labels}
    truth = rows[task].to_list()
    asked = [(time, 0, place) for place, time in enumerate(rows["time_ms"].tolist())]
    told = [(time, 1, place) for place, time in enumerate(known_ms.tolist())]
    for _, kind, place in sorted(asked + told):
        item, user = names["item_id"][place], names["user_id"][place]
        if kind == 0:
            scores["item popularity"][place] = labels["item_id"][item]
            scores["item rate"][place] = _rate(labels["item_id"][item], shown["item_id"][item], mean)
            scores["user rate"][place] = _rate(labels["user_id"][user], shown["user_id"][user], mean)
            continue
        for key, name in (("item_id", item), ("user_id", user)):
            labels[key][name] += truth[place]
            shown[key][name] += 1
    return scores


def known_by(rows: pd.DataFrame, chain: str, task: str, observed_age_ms: int) -> NDArray[np.int64]:
    """Return when the chain may first learn each row's label.

    The daily chain scores a day once it has learned the day before; the minute chain learns a row at its observation
    age, and a label that comes later when it comes.
    """
    times_N = rows["time_ms"].to_numpy(np.int64)
    if chain == "daily":
        return (times_N // DAY_MS + 1) * DAY_MS
    labelled_N = rows[f"{task}_ms"].to_numpy(np.int64)
    known_N: NDArray[np.int64] = np.maximum(times_N + observed_age_ms, labelled_N)
    return known_N


def _rate(labels: int, shown: int, mean: float) -> float:
    return (labels + SMOOTHING * mean) / (shown + SMOOTHING)
