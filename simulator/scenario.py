"""What happens when: a TOML file of changes at virtual times, checked whole; and live commands as changes."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from springtide.contracts import control
from springtide.contracts.errors import ConfigError
from springtide.contracts.tasks import TASKS, Task
from springtide.runtime.settings import parse_duration

FOREVER_MS: Final = 2**62
FAULTS: Final = ("duplicate", "out_of_order", "bot")
_PIECE: Final = re.compile(r"\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the world, the experiment or the stream, in force from `at_ms` until `until_ms`."""

    name: str
    """Unique; keys the change's own draws."""
    kind: str
    at_ms: int
    until_ms: int = FOREVER_MS
    over_ms: int = 0
    """Event time over which it grows linearly; 0: all at once."""
    task: Task | None = None
    factor: float = 1.0
    arm: str = ""
    rate: float = 0.0
    fault: str = ""
    traffic_factor: float = 1.0
    share: float = 0.3
    price_factor: float = 0.8
    delay_factor: float = 0.5
    experiment: str = ""
    enrolled: float = 1.0

    def progress(self, now_ms: int) -> float:
        """Give how much of a gradual change is there, 0 to 1."""
        return 1.0 if self.over_ms <= 0 else min(max((now_ms - self.at_ms) / self.over_ms, 0.0), 1.0)

    def detail(self) -> str:
        """Say in words what it does, for the truth topic and the page."""
        named = {
            "drift": f"{self.task} x{self.factor:g}",
            "tastes": f"tastes shift by {self.factor:g}",
            "lift": f"{self.arm} {self.task} x{self.factor:g}",
            "flash_sale": f"traffic x{self.traffic_factor:g}, {self.share:.0%} of items at x{self.price_factor:g}",
            "ramp": f"{self.experiment} to {self.enrolled:.0%} of users",
            "sample_ratio_mismatch": f"{self.rate:.0%} of the users of {self.arm} are lost",
            "fault": f"{self.fault} {self.rate:.0%}",
        }
        return named[self.kind]


_ALLOWED: Final[dict[str, tuple[set[str], set[str]]]] = {
    "drift": ({"task", "factor"}, {"over", "lasts"}),
    "tastes": ({"factor"}, {"over", "lasts"}),
    "lift": ({"arm", "task", "factor"}, {"lasts"}),
    "flash_sale": ({"lasts", "traffic_factor"}, {"share", "price_factor", "delay_factor"}),
    "ramp": ({"experiment", "enrolled"}, set()),
    "sample_ratio_mismatch": ({"arm", "rate"}, {"lasts"}),
    "fault": ({"fault", "rate", "lasts"}, set()),
}
"""Keys that a kind of change needs, and those that it may have, beside `kind` and `at`."""
_LIMITS: Final = {
    "factor": (0.0, 100.0), "rate": (0.0, 1.0), "share": (0.0, 1.0), "enrolled": (0.0, 1.0),
    "traffic_factor": (1.0, 100.0), "price_factor": (0.01, 10.0), "delay_factor": (0.01, 100.0),
}  # fmt: skip


def read_scenario(path: Path, start_ms: int) -> list[Change]:
    """Read a scenario; times count from the start of the story.

    Raises:
        ConfigError: with every problem of the file at once.
    """
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError([f"simulator.scenario: expected a file, got none at {path}; give its path"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: expected TOML, got {error}; mend the line"]) from error
    entries = content.get("changes", [])
    problems = [
        f"{path}: expected `name` and [[changes]], got {key!r}; remove or rename it"
        for key in content
        if key not in ("name", "changes")
    ]
    changes = []
    for number, entry in enumerate(entries):
        found = list(_entry_problems(f"{path}: changes[{number}]", entry))
        problems.extend(found)
        if not found:
            changes.append(_change(f"scenario-{number}", entry, start_ms))
    if problems:
        raise ConfigError(problems)
    return changes


def span_ms(text: str) -> int:
    """Read a duration of several parts, such as `3d18h`.

    Raises:
        ValueError: the text is no duration.
    """
    pieces = _PIECE.findall(text)
    if not pieces or "".join(pieces).replace(" ", "") != text.replace(" ", ""):
        raise ValueError(f"expected a duration such as 30m, 4h or 3d18h, got {text!r}")
    return round(sum(parse_duration(piece).total_seconds() for piece in pieces) * 1000)


def _entry_problems(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    kind = entry.get("kind")
    if kind not in _ALLOWED:
        yield f"{where}.kind: expected one of {', '.join(_ALLOWED)}, got {kind!r}; choose one"
        return
    needed, optional = _ALLOWED[kind]
    for key in sorted((needed | {"at"}) - set(entry)):
        yield f"{where}.{key}: expected a value for a {kind}, got none; set it"
    for key in sorted(set(entry) - needed - optional - {"kind", "at"}):
        yield f"{where}.{key}: expected one of {', '.join(sorted(needed | optional))} for a {kind}, got this; remove it"
    for key in sorted({"at", "over", "lasts"} & set(entry)):
        try:
            span_ms(str(entry[key]))
        except ValueError as error:
            yield f"{where}.{key}: {error}; mend the value"
    yield from _value_problems(where, entry)


def _value_problems(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    for key, (low, high) in _LIMITS.items():
        if key in entry and not (isinstance(entry[key], int | float) and low <= entry[key] <= high):
            yield f"{where}.{key}: expected {low:g} to {high:g}, got {entry[key]!r}; mend the value"
    if "task" in entry and entry["task"] not in TASKS:
        yield f"{where}.task: expected one of {', '.join(TASKS)}, got {entry['task']!r}; choose one"
    if "fault" in entry and entry["fault"] not in FAULTS:
        yield f"{where}.fault: expected one of {', '.join(FAULTS)}, got {entry['fault']!r}; choose one"


def _change(name: str, entry: Mapping[str, Any], start_ms: int) -> Change:
    at_ms = start_ms + span_ms(entry["at"])
    until_ms = at_ms + span_ms(entry["lasts"]) if "lasts" in entry else FOREVER_MS
    rest = {key: value for key, value in entry.items() if key not in ("at", "lasts", "over")}
    over_ms = span_ms(entry["over"]) if "over" in entry else 0
    return Change(name=name, at_ms=at_ms, until_ms=until_ms, over_ms=over_ms, **rest)


def from_command(command: control.AnyCommand, now_ms: int) -> Change | None:
    """Turn a live command into a change from now on; None: it is for another process, or asks for nothing known."""
    base: dict[str, Any] = {"name": command.command_id, "at_ms": now_ms}
    match command:
        case control.Drift():
            return Change(kind="drift", task=command.task, factor=command.factor, **base)
        case control.Lift():
            return Change(kind="lift", arm=command.arm, task=command.task, factor=command.factor, **base)
        case control.SampleRatioMismatch():
            return Change(kind="sample_ratio_mismatch", arm=command.arm, rate=command.rate, **base)
        case control.FlashSale():
            until = now_ms + command.seconds * 1000
            return Change(kind="flash_sale", traffic_factor=max(command.traffic_factor, 1.0), until_ms=until, **base)
        case control.Fault() if command.kind in FAULTS:
            until = now_ms + command.seconds * 1000
            return Change(kind="fault", fault=command.kind, rate=command.rate, until_ms=until, **base)
        case _:
            return None
