"""Reads a behaviour log whole, in order of time."""

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from simulator.replay.mapping import MEANINGS, LogMapping
from springtide.contracts.errors import ConfigError, ContractError


@dataclass(frozen=True, kw_only=True, slots=True)
class LogRow:
    """One behaviour."""

    time_ms: int
    user_id: str
    item_id: str
    meaning: str
    """exposure, click, cart or purchase."""
    category: str
    price: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """All rows by time, exposures first within a moment; and the words that mean nothing, with their counts."""

    rows: list[LogRow]
    ignored: Counter[str]


def read_log(path: Path, mapping: LogMapping) -> Log:
    """Read a log.

    Raises:
        ConfigError: the file or a column is missing.
        ContractError: a row cannot be read; the text names its line.
    """
    if not path.is_file():
        raise ConfigError([f"replay.file: expected a log, got none at {path}; give its path"])
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as text:
        reader = csv.DictReader(text, fieldnames=mapping.header or None, delimiter=mapping.delimiter)
        missing = sorted(set(mapping.columns.values()) - set(reader.fieldnames or []))
        if missing:
            found = ", ".join(reader.fieldnames or [])
            raise ConfigError([f"{path}: expected the columns {', '.join(missing)}, got {found}; mend the mapping"])
        ignored: Counter[str] = Counter()
        rows = list(_rows(path, reader, mapping, ignored))
    rows.sort(key=lambda row: (row.time_ms, MEANINGS.index(row.meaning)))
    return Log(rows=rows, ignored=ignored)


def _rows(path: Path, reader: "csv.DictReader[str]", mapping: LogMapping, ignored: Counter[str]) -> Iterator[LogRow]:
    columns = mapping.columns
    time, user, item, behaviour = (columns[role] for role in ("time", "user", "item", "behaviour"))
    for entry in reader:
        meaning = mapping.behaviours.get(entry[behaviour])
        if meaning is None:
            ignored[entry[behaviour]] += 1
            continue
        try:
            yield LogRow(
                time_ms=round(float(entry[time]) * mapping.unit_ms),
                user_id=entry[user],
                item_id=entry[item],
                meaning=meaning,
                category=entry[columns["category"]] if "category" in columns else "unknown",
                price=float(entry[columns["price"]] or 0) if "price" in columns else 0.0,
            )
        except (TypeError, ValueError) as error:
            raise ContractError(
                f"{path}:{reader.line_num}: expected time, user, item and behaviour, got {entry}: {error}; mend the row"
            ) from error
