"""What a finished run is measured by: bars, each a value with its limit.

A check is a function from `Finished` to bars; CHECKS lists them, in the order of the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local_stack.plan import Plan
from local_stack.processes import SIMULATOR
from local_stack.samples import Sample, total
from local_stack.watch import View
from springtide.contracts import metric_names

STORY_LIMIT_S = 600.0
"""A simulated week must not take longer, seconds."""

FIRST_NUMBERS_LIMIT_S = 90.0
"""The page must move before this, seconds after the start."""

IMPRESSIONS_LIMIT = 300_000
"""Impressions that a story of a week must at least show."""

SWAPS_LIMIT = 20
"""Bundle swaps that a story of a week must see."""

STORY_DAYS = 7.0
"""The length that the limits above are given for; those that grow with length are scaled to the run's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One measured value and what it is held against."""

    bar: str
    """What is measured, in words."""
    value: float
    limit: float
    holds: bool
    unit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A run whose story is over and whose streams have drained."""

    plan: Plan
    views: Sequence[View]
    """Every process at the end."""
    samples: Sequence[Sample]
    """Every Prometheus sample at the end."""
    simulated_days: float
    """Length of the story in event time."""
    story_s: float
    """Wall time from the first event to the simulator's end, seconds."""
    first_numbers_s: float
    """Wall time from the start to the first event, seconds."""
    drained: bool
    """Whether the streams caught up within the time allowed."""


Check = Callable[[Finished], Iterator[Bar]]


def at_most(bar: str, value: float, limit: float, unit: str) -> Bar:
    """Return a bar that holds when the value does not exceed the limit."""
    return Bar(bar=bar, value=round(value, 4), limit=round(limit, 4), holds=value <= limit, unit=unit)


def at_least(bar: str, value: float, limit: float, unit: str) -> Bar:
    """Return a bar that holds when the value reaches the limit."""
    return Bar(bar=bar, value=round(value, 4), limit=round(limit, 4), holds=value >= limit, unit=unit)


def check_time(run: Finished) -> Iterator[Bar]:
    """How long the run took."""
    yield at_most("first live numbers", run.first_numbers_s, FIRST_NUMBERS_LIMIT_S, "s")
    yield at_most(f"story of {run.simulated_days:g} simulated days", run.story_s, STORY_LIMIT_S * _share(run), "s")


def check_drained(run: Finished) -> Iterator[Bar]:
    """That nothing got stuck, was unusable, or crashed."""
    crashes = sum(view.restarts for view in run.views)
    yield at_least("streams drained", float(run.drained), 1, "bool")
    letters = total(run.samples, metric_names.DEAD_LETTERS)
    expired = total(run.samples, metric_names.DEAD_LETTERS, reason="orphan_expired")
    yield at_most("dead letters, but for purchases whose click is past its window", letters - expired, 0, "messages")
    late = total(run.samples, metric_names.TRAIN_LATE)
    yield at_most("final slates that came after their day was learned", late, 0, "slates")
    yield at_most("unasked restarts of processes", crashes, 0, "restarts")


def check_flow(run: Finished) -> Iterator[Bar]:
    """What flowed, and that no request failed."""
    failed = total(run.samples, metric_names.REQUESTS, outcome="error")
    shown = next((view.details.get("impressions", 0) for view in run.views if view.name == SIMULATOR), 0)
    yield at_least("impressions shown", shown, IMPRESSIONS_LIMIT * _share(run), "impressions")
    swaps = total(run.samples, metric_names.SWAPS, outcome="swapped")
    yield at_least("bundle swaps", swaps, SWAPS_LIMIT * _share(run) // 1, "swaps")
    yield at_most("failed requests", failed, 0, "requests")


CHECKS: tuple[Check, ...] = (check_time, check_flow, check_drained)


def measure(run: Finished, checks: Sequence[Check] = CHECKS) -> list[Bar]:
    """Return the bars of every check."""
    return [bar for check in checks for bar in check(run)]


def write_json(bars: Sequence[Bar], path: Path) -> None:
    """Write the bars as a list of {bar, value, limit, holds, unit}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(bar) for bar in bars], indent=2) + "\n", encoding="utf-8")


def print_table(bars: Sequence[Bar], console: Console) -> None:
    """Print the bars as a table."""
    table = Table(title="summary", title_justify="left")
    for heading, justify in (("bar", "left"), ("value", "right"), ("limit", "right"), ("unit", "left"), ("", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for bar in bars:
        verdict = "[green]holds[/]" if bar.holds else "[red]missed[/]"
        table.add_row(bar.bar, f"{bar.value:,g}", f"{bar.limit:,g}", bar.unit, verdict)
    console.print(table)


def _share(run: Finished) -> float:
    return run.simulated_days / STORY_DAYS
