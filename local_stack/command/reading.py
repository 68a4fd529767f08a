"""What `springtide windows` and `springtide audit` share: whose settings, which piece of time."""

from __future__ import annotations

import argparse
import os
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_stack.errors import NotRunningError
from local_stack.plan import CHECKOUT
from local_stack.run_record import read_running_plan
from springtide.contracts.errors import ConfigError
from springtide.runtime.config import KafkaConfig, LabelsConfig
from springtide.runtime.settings import apply_overrides, build_sections, read_profile

FAR_MS = 2**62
"""An open end of time."""


def add_settings_flags(verb: argparse.ArgumentParser) -> None:
    """Add the flags that say which settings hold."""
    verb.add_argument(
        "--config", type=Path, metavar="FILE",
        help="settings (TOML); default: those of the stack in the state folder, else config/base.toml",
    )  # fmt: skip
    verb.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="sets", help="override one setting"
    )


def add_reading_flags(verb: argparse.ArgumentParser) -> None:
    """Add the flags that say which Kafka is read, and which piece of event time."""
    add_settings_flags(verb)
    verb.add_argument("--bootstrap", metavar="HOST:PORT", help="the Kafka to read; short for --set kafka.bootstrap=…")
    moment = "UTC, such as 2026-01-05 or 2026-01-05T12:00, or milliseconds since 1970"
    verb.add_argument("--from", dest="begin", metavar="TIME", help=f"slates shown from here on ({moment})")
    verb.add_argument("--to", dest="end", metavar="TIME", help="slates shown before this moment")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file as well")


def read_settings(given: Namespace) -> tuple[KafkaConfig, LabelsConfig, Mapping[str, Mapping[str, Any]]]:
    """Return sections `kafka` and `labels`, and all values as read.

    Raises:
        ConfigError: the settings break rules.
    """
    sets = [*given.sets, *([f'kafka.bootstrap="{given.bootstrap}"'] if given.bootstrap else [])]
    values = apply_overrides(_values(given.config), os.environ, sets)
    built = build_sections(values, {"kafka": KafkaConfig, "labels": LabelsConfig})
    return built["kafka"], built["labels"], values


def _values(config: Path | None) -> dict[str, dict[str, Any]]:
    if config is not None:
        return read_profile(config)
    try:
        return {section: dict(entries) for section, entries in read_running_plan(os.environ).values.items()}
    except NotRunningError:
        return read_profile(CHECKOUT / "config" / "base.toml")


def read_span(given: Namespace) -> tuple[int, int]:
    """Return --from and --to in ms; what is not given is open.

    Raises:
        ConfigError: one is no moment, or they leave nothing between them.
    """
    begin = _moment("--from", given.begin) if given.begin else 0
    end = _moment("--to", given.end) if given.end else FAR_MS
    if begin >= end:
        raise ConfigError([f"--to: expected a moment after --from, got {given.end}; swap them"])
    return begin, end


def _moment(flag: str, text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError([f"{flag}: expected a moment such as 2026-01-05T12:00, got {text!r}; mend it"]) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
