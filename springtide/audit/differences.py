"""What differs between two rows, field by field, in words. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from springtide.contracts.samples import Sample

LONGEST = 160
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that differs."""

    kind: str
    """missing, unexpected, wrong, conflicts or late."""
    row_id: str
    user_id: str
    impression_time_ms: int
    fields: list[str]
    """One line per field: `path: expected X, got Y`."""


def describe(kind: str, expected: Sample | None, said: list[Sample]) -> Difference:
    """Say how the variants of a row that were said differ from the expected one.

    Args:
        kind: which kind of difference it is.
        expected: the batch join's row; None when there should be none.
        said: the different payloads on the topic; empty when there is none.

    Raises:
        ValueError: there is no row at all.
    """
    rows = [expected, *said] if expected else list(said)
    if not rows:
        raise ValueError("describe: expected a row, got none; give the one that was expected or said")
    lines: list[str] = []
    if expected is None:
        lines.append(f"expected no such row, got {_labels(said[0])}")
    elif not said:
        lines.append(f"expected {_labels(expected)}, got no such row")
    for other in rows[1:]:
        lines += field_differences(msgspec.to_builtins(rows[0]), msgspec.to_builtins(other))
    return Difference(kind, rows[0].row_id, rows[0].user_id, rows[0].impression_time_ms, lines)


def field_differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """Yield one line per value that differs; columns are compared whole."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for name in sorted({*expected, *got}):
            yield from field_differences(expected.get(name), got.get(name), f"{path}.{name}" if path else str(name))
    elif expected != got:
        yield f"{path}: expected {_short(expected)}, got {_short(got)}"


def _labels(row: Sample) -> str:
    positives = {
        task: [item for item, label in zip(row.item_ids, column, strict=True) if label]
        for task, column in row.labels.items()
    }
    told = ", ".join(f"{task} {items}" for task, items in positives.items() if items)
    return _short(f"{len(row.item_ids)} items with {told or 'no label'}")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
