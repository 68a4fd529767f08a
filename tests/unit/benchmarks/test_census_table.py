from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning.census_table import (
    CATEGORIES,
    COLUMNS,
    EDUCATION,
    INCOME,
    MARITAL,
    encode,
    labels,
    read_texts,
    split,
)  # fmt: skip

pytestmark = pytest.mark.unit


def texts(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
    made = np.full((rows, COLUMNS), "0", dtype="<U40")
    made[:, CATEGORIES[0]] = [("Private", "State")[row % 2] for row in range(rows)]
    return made


def test_labels_follow_the_paper() -> None:
    made = texts(3)
    made[:, INCOME] = ["- 50000", "50000+", "- 50000"]
    made[:, EDUCATION] = [
        "Some college but no degree",
        "Masters degree(MA MS MEng MEd",
        "High school graduate",
    ]
    made[:, MARITAL] = ["Never married", "Divorced", "Widowed"]
    assert labels(made).tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]


def test_parts_share_no_row_and_leave_none_out() -> None:
    parts = split(1003)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(1003))
    assert [len(rows) for rows in parts.values()] == [802, 101, 100]


def test_categories_are_known_from_the_train_rows_alone() -> None:
    made = texts(50)
    unseen = split(50)["test"][0]
    made[unseen, CATEGORIES[0]] = "Never seen"
    arrays, cardinalities = encode(made)
    assert arrays["test_ids"][0, 0] == 0
    assert cardinalities[0] == 3
    assert set(arrays["train_ids"][:, 0].tolist()) == {1, 2}


def test_labels_do_not_leak_into_the_inputs() -> None:
    made = texts(50)
    before, _ = encode(made)
    for column in (EDUCATION, MARITAL, INCOME):
        made[:, column] = [str(row) for row in range(50)]
    after, _ = encode(made)
    assert all(np.array_equal(before[f"{part}_ids"], after[f"{part}_ids"]) for part in ("train", "valid", "test"))


def test_a_short_line_is_named(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "census.gz"
    path.write_bytes(gzip.compress(b"1, 2, 3.\n"))
    with pytest.raises(ValueError, match="census.gz: expected 42 fields, got another number in row 0"):
        read_texts(path)
