"""KDD Census-Income as arrays: the test half of the UCI set, split 80/10/10 by our own seed. Pure but for reading.

Labels of both task pairs of MMoE's paper: income over 50,000, education at least college, never married. Education and
marital status are removed from the inputs, as there, and so is the sampling weight. Columns that count are the log of
1 + value, standardised on the train rows; the others are categories, numbered on the train rows, 0 for the unknown.
Shapes: N rows, C categorical columns, I dense columns.
"""

import gzip
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Texts = NDArray[np.str_]

COLUMNS: Final = 42
EDUCATION, MARITAL, WEIGHT, INCOME = 4, 7, 24, 41
NUMBERS: Final = (0, 5, 16, 17, 18, 30, 39)
"""Age, wage per hour, capital gains, capital losses, dividends, persons worked for, weeks worked."""
CATEGORIES: Final = tuple(
    column for column in range(COLUMNS) if column not in (*NUMBERS, EDUCATION, MARITAL, WEIGHT, INCOME)
)
COLLEGE: Final = ("Bachelors", "Masters", "Doctorate", "Prof school", "Associates")
"""Starts of the degrees; without `Some college but no degree` they correlate with the marital label as in the paper."""
LABELS: Final = ("income", "education", "marital")
PAIRS: Final = (("income", "marital"), ("education", "marital"))
SPLIT_SEED: Final = 20_18
PARTS: Final = {"train": (0.0, 0.8), "valid": (0.8, 0.9), "test": (0.9, 1.0)}


def read_texts(path: Path) -> Texts:
    """Return the file's fields, (N, 42).

    Raises:
        ValueError: a line has another number of fields.
    """
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [[field.strip() for field in line.rstrip().rstrip(".").split(",")] for line in lines if line.strip()]
    if wrong := [number for number, row in enumerate(rows) if len(row) != COLUMNS]:
        raise ValueError(f"{path.name}: expected {COLUMNS} fields, got another number in row {wrong[0]}; fetch it anew")
    return np.array(rows)


def labels(texts: Texts) -> NDArray[np.float32]:
    """Return a column per name of LABELS, 0 or 1, (N, 3)."""
    columns = (
        np.char.startswith(texts[:, INCOME], "50000"),
        np.logical_or.reduce([np.char.startswith(texts[:, EDUCATION], start) for start in COLLEGE]),
        texts[:, MARITAL] == "Never married",
    )
    return np.stack(columns, axis=1).astype(np.float32)


def split(rows: int) -> dict[str, NDArray[np.int64]]:
    """Return the row numbers of each part."""
    order_N = np.random.default_rng(SPLIT_SEED).permutation(rows)
    return {part: order_N[round(start * rows) : round(end * rows)] for part, (start, end) in PARTS.items()}


def encode(texts: Texts) -> tuple[dict[str, NDArray[np.generic]], tuple[int, ...]]:
    """Return `PART_dense` (N, I), `PART_ids` (N, C), `PART_labels` (N, 3) per part, and the ids of each category."""
    rows_of = split(len(texts))
    train_N = rows_of["train"]
    dense_NI = np.log1p(texts[:, NUMBERS].astype(np.float64))
    dense_NI = (dense_NI - dense_NI[train_N].mean(axis=0)) / dense_NI[train_N].std(axis=0)
    ids: list[list[int]] = []
    cardinalities = []
    for column in CATEGORIES:
        known = {text: number for number, text in enumerate(sorted(set(texts[train_N, column].tolist())), 1)}
        ids.append([known.get(text, 0) for text in texts[:, column].tolist()])
        cardinalities.append(len(known) + 1)
    ids_NC, labels_N3 = np.array(ids, np.int64).T, labels(texts)
    arrays: dict[str, NDArray[np.generic]] = {}
    for part, rows_N in rows_of.items():
        arrays[f"{part}_dense"] = dense_NI[rows_N].astype(np.float32)
        arrays[f"{part}_ids"] = ids_NC[rows_N]
        arrays[f"{part}_labels"] = labels_N3[rows_N]
    return arrays, tuple(cardinalities)
