"""Settings: TOML profiles, environment and `--set`, into frozen dataclasses, with every problem reported at once.

Order of precedence, weakest first: the file that a profile `extends`, the profile, the environment
(`SPRINGTIDE__SECTION__KEY`), `--set section.key=value`. Durations are written `250ms`, `30s`, `10m`, `1h`, `7d`.
"""

import dataclasses
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from springtide.contracts.errors import ConfigError

ENVIRONMENT_PREFIX: Final = "SPRINGTIDE__"

KNOWN_SECTIONS: Final = (
    "process", "kafka", "labels", "streaming", "joiner", "features", "feature_store", "model", "trainer", "bundles",
    "serving", "experiment", "simulator", "monitoring", "local_stack", "replay", "backfill",
)  # fmt: skip
"""Every section that some process owns; another name in a file is a mistake."""

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Section = TypeVar("Section")


class HasProblems(Protocol):
    """A section that can say which of its rules its values break."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        ...


def parse_duration(text: str) -> timedelta:
    """Read `10m` and its like.

    Raises:
        ValueError: the text is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a duration such as 250ms, 30s, 10m, 1h or 7d, got {text!r}")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


def read_profile(path: Path) -> dict[str, dict[str, Any]]:
    """Read a TOML profile over the files that it `extends`, section by section.

    Raises:
        ConfigError: a file is missing or is no TOML.
    """
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: expected a settings file, got nothing; give its path with --config"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: expected TOML, got {error}; mend the line"]) from error
    parent = content.pop("extends", None)
    merged = read_profile(path.parent / parent) if parent else {}
    for section, values in content.items():
        merged[section] = {**merged.get(section, {}), **values} if isinstance(values, dict) else values
    return merged


def apply_overrides(
    values: dict[str, dict[str, Any]], environment: Mapping[str, str], sets: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Lay the environment and then `--set` over a profile's values; texts are read as TOML where they are TOML.

    Raises:
        ConfigError: a `--set` is not section.key=value.
    """
    pairs = [
        (name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", ".", 1), text)
        for name, text in sorted(environment.items())
        if name.startswith(ENVIRONMENT_PREFIX)
    ]
    problems = []
    for item in sets:
        name, equals, text = item.partition("=")
        if not equals or "." not in name:
            problems.append(f"--set: expected section.key=value, got {item!r}; write it so")
        pairs.append((name, text))
    if problems:
        raise ConfigError(problems)
    merged = {section: dict(entries) for section, entries in values.items()}
    for name, text in pairs:
        section, _, key = name.partition(".")
        merged.setdefault(section, {})[key] = _toml_value(text)
    return merged


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def build_sections(values: Mapping[str, Mapping[str, Any]], sections: Mapping[str, type[Any]]) -> dict[str, Any]:
    """Make each owned section's dataclass.

    Args:
        values: section name to key to value, as read.
        sections: section name to the frozen dataclass that this process wants of it.

    Raises:
        ConfigError: with every unknown section, unknown key, wrong type, missing key and broken rule of all sections.
    """
    problems = [
        f"{name}: expected one of the sections {', '.join(KNOWN_SECTIONS)}, got {name!r}; remove or rename it"
        for name in values
        if name not in KNOWN_SECTIONS
    ]
    built: dict[str, Any] = {}
    for name, kind in sections.items():
        made, found = _build_section(name, kind, values.get(name, {}))
        problems.extend(found)
        if made is not None:
            built[name] = made
    if problems:
        raise ConfigError(problems)
    return built


def _build_section(name: str, kind: type[Any], given: Mapping[str, Any]) -> tuple[Any, list[str]]:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    types = typing.get_type_hints(kind)
    problems = [
        f"{name}.{key}: expected one of {', '.join(fields)}, got this unknown key; remove or rename it"
        for key in given
        if key not in fields
    ]
    arguments: dict[str, Any] = {}
    for key, field in fields.items():
        if key in given:
            try:
                arguments[key] = _convert(given[key], types[key])
            except (ValueError, msgspec.ValidationError) as error:
                problems.append(f"{name}.{key}: {error}; got {given[key]!r}; mend the value")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{name}.{key}: expected a value of type {types[key]}, got none; set it")
    if problems:
        return None, problems
    made = kind(**arguments)
    return made, list(made.problems()) if hasattr(made, "problems") else []


def _convert(value: Any, kind: Any) -> Any:
    if kind is timedelta:
        return parse_duration(value)
    if typing.get_origin(kind) is dict and typing.get_args(kind)[1] is timedelta:
        return {key: parse_duration(text) for key, text in value.items()}
    if typing.get_args(kind)[:1] == (timedelta,):
        return tuple(parse_duration(text) for text in value)
    if kind is Path:
        return Path(value)
    if kind is float and isinstance(value, int):
        return float(value)
    return msgspec.convert(value, kind)


def plain(section: Any) -> Any:
    """Turn a section back into JSON-able values, durations as seconds: for logs and bundles."""
    if dataclasses.is_dataclass(section) and not isinstance(section, type):
        return {field.name: plain(getattr(section, field.name)) for field in dataclasses.fields(section)}
    if isinstance(section, timedelta):
        return section.total_seconds()
    if isinstance(section, dict):
        return {key: plain(value) for key, value in section.items()}
    if isinstance(section, tuple | list):
        return [plain(value) for value in section]
    return str(section) if isinstance(section, Path) else section


def milliseconds(duration: timedelta) -> int:
    """Turn a duration into whole milliseconds, the unit of every event time."""
    return round(duration.total_seconds() * 1000)
