"""What the columns and words of a log mean, from a TOML file."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from springtide.contracts.errors import ConfigError

MEANINGS: Final = ("exposure", "click", "cart", "purchase")
"""What a row may be, in the order in which rows of one moment are told."""
UNITS_MS: Final = {"s": 1000.0, "ms": 1.0, "us": 0.001}
_NEEDED: Final = ("time", "user", "item", "behaviour")
_OPTIONAL: Final = ("category", "price")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogMapping:
    """How to read one log."""

    columns: dict[str, str]
    """Role (time, user, item, behaviour, category, price) to column name."""
    behaviours: dict[str, str]
    """Word in the log to meaning."""
    header: list[str] = field(default_factory=list)
    """Names of the columns, for a file without a header line; else empty."""
    unit_ms: float = 1000.0
    """Milliseconds per unit of the time column."""
    delimiter: str = ","


def read_mapping(path: Path) -> LogMapping:
    """Read a mapping.

    Raises:
        ConfigError: with every problem of the file at once.
    """
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError([f"replay.mapping: expected a file, got none at {path}; give its path"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: expected TOML, got {error}; mend the line"]) from error
    problems = [f"{path}: {problem}" for problem in _problems(content)]
    if problems:
        raise ConfigError(problems)
    words = {word: meaning for meaning, words in content["behaviours"].items() for word in words}
    return LogMapping(
        columns=content["columns"],
        behaviours=words,
        header=content.get("header", []),
        unit_ms=UNITS_MS[content.get("time_unit", "s")],
        delimiter=content.get("delimiter", ","),
    )


def _problems(content: Mapping[str, Any]) -> Iterator[str]:
    for key in set(content) - {"columns", "behaviours", "header", "time_unit", "delimiter"}:
        yield f"{key}: expected columns, behaviours, header, time_unit or delimiter, got this; remove or rename it"
    columns = content.get("columns", {})
    for role in _NEEDED:
        if role not in columns:
            yield f"columns.{role}: expected a column name, got none; set it"
    for role in set(columns) - {*_NEEDED, *_OPTIONAL}:
        yield f"columns.{role}: expected one of {', '.join((*_NEEDED, *_OPTIONAL))}, got this; remove or rename it"
    for role, name in columns.items():
        if content.get("header") and name not in content["header"]:
            yield f"columns.{role}: expected one of {', '.join(content['header'])}, got {name!r}; choose one"
    if content.get("time_unit", "s") not in UNITS_MS:
        yield f"time_unit: expected one of {', '.join(UNITS_MS)}, got {content['time_unit']!r}; choose one"
    yield from _behaviour_problems(content.get("behaviours", {}))


def _behaviour_problems(behaviours: Mapping[str, Any]) -> Iterator[str]:
    if "exposure" not in behaviours:
        yield "behaviours.exposure: expected the words that mean an item was shown, got none; set it"
    for meaning, words in behaviours.items():
        if meaning not in MEANINGS:
            yield f"behaviours.{meaning}: expected one of {', '.join(MEANINGS)}, got this; remove or rename it"
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            yield f"behaviours.{meaning}: expected a list of words, got {words!r}; write it so"
    flat = [word for words in behaviours.values() if isinstance(words, list) for word in words]
    for word in sorted({word for word in flat if flat.count(word) > 1}):
        yield f"behaviours: expected each word once, got {word!r} twice; choose its meaning"
