"""A replayed log joined again with pandas, straight from its file: what the stream's final rows must equal."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd

from local_stack.summary import Bar, Finished, at_least, at_most
from local_stack.verification.join import read_rows, unique_final_rows
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import build_sections

MILLISECONDS: Final = {"s": 1000.0, "ms": 1.0, "us": 0.001}
MEANINGS: Final = ("exposure", *TASKS)
"""What a row may be, in the order in which rows of one moment count."""


def check_log_join(run: Finished) -> Iterator[Bar]:
    """Compare the final rows with the log's own join, row by row and label by label."""
    expected = expected_rows(run)
    found = final_frame(unique_final_rows(read_rows(run)))
    both = expected.merge(found, on=["request_id", "user_id", "item_id", "time_ms"], suffixes=("", "_found"))
    yield at_least("log: exposures", len(expected), 1, "rows")
    yield at_most("log: rows of the pandas join that are missing", len(expected) - len(both), 0, "rows")
    yield at_most("log: rows that the pandas join does not know", len(found) - len(both), 0, "rows")
    for task in TASKS:
        if expected[task].any():
            yield at_least(f"log: {task} labels", int(expected[task].sum()), 1, "labels")
        wrong = int((both[task] != both[f"{task}_found"]).sum())
        yield at_most(f"log: rows whose {task} label differs from pandas", wrong, 0, "rows")


def expected_rows(run: Finished) -> pd.DataFrame:
    """Join the replayed log; see `join_log`."""
    labels: LabelsConfig = build_sections(run.plan.values, {"labels": LabelsConfig})["labels"]
    mapping = tomllib.loads(Path(run.plan.value("replay", "mapping", "")).read_text())
    return join_log(read_log(Path(run.plan.value("replay", "file", "")), mapping), labels.attribution)


def read_log(path: Path, mapping: Mapping[str, Any]) -> pd.DataFrame:
    """Return the log's rows in the order in which they are told: time_ms, user_id, item_id, meaning, number."""
    columns = mapping["columns"]
    table = pd.read_csv(
        path, sep=mapping.get("delimiter", ","), names=mapping.get("header"), header=None if "header" in mapping else 0,
        dtype={columns["user"]: str, columns["item"]: str, columns["behaviour"]: str},
    )  # fmt: skip
    meanings = {word: meaning for meaning, words in mapping["behaviours"].items() for word in words}
    unit = MILLISECONDS[mapping.get("time_unit", "s")]
    log = pd.DataFrame(
        {
            "time_ms": (table[columns["time"]] * unit).round().astype("int64"),
            "user_id": table[columns["user"]],
            "item_id": table[columns["item"]],
            "meaning": table[columns["behaviour"]].map(meanings),
        }
    ).dropna(subset=["meaning"])
    log["turn"] = log["meaning"].map(MEANINGS.index)
    log = log.sort_values(["time_ms", "turn"], kind="stable", ignore_index=True)
    return log.assign(number=log.index)


def join_log(log: pd.DataFrame, attribution: Mapping[str, timedelta]) -> pd.DataFrame:
    """Give every exposure its labels: each goes to its user's last exposure of the item, within the task's window.

    Returns:
        One row per exposure: request_id, user_id, item_id, time_ms; per task its label (0 or 1) and TASK_ms, the
        first label's time (-1 without one).
    """
    shown = log[log["meaning"] == "exposure"].drop(columns=["meaning", "turn"])
    shown = shown.assign(shown_ms=shown["time_ms"], request_id="log-" + shown["number"].astype(str))
    exposures = shown[["time_ms", "user_id", "item_id", "number", "shown_ms"]]
    for task in TASKS:
        told = log.loc[log["meaning"] == task, ["time_ms", "user_id", "item_id"]]
        credited = pd.merge_asof(told, exposures, on="time_ms", by=["user_id", "item_id"]).dropna(subset=["number"])
        window_ms = attribution[task] / timedelta(milliseconds=1)
        in_time = credited[credited["time_ms"] - credited["shown_ms"] <= window_ms]
        first = in_time.groupby("number")["time_ms"].min()
        shown[f"{task}_ms"] = shown["number"].map(first).fillna(-1).astype("int64")
        shown[task] = (shown[f"{task}_ms"] >= 0).astype(int)
    return shown.drop(columns=["number", "shown_ms"]).reset_index(drop=True)


def final_frame(rows: Sequence[Sample]) -> pd.DataFrame:
    """Lay final rows out item by item."""
    return pd.DataFrame(
        [
            (row.request_id, row.user_id, item, row.impression_time_ms, *(row.labels[task][place] for task in TASKS))
            for row in rows
            for place, item in enumerate(row.item_ids)
        ],
        columns=["request_id", "user_id", "item_id", "time_ms", *TASKS],
    )
