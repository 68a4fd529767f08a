"""`springtide windows`: measures how long labels take, and proposes the windows of section `[labels]`."""

from __future__ import annotations

import argparse
import json
from argparse import Namespace
from collections.abc import Mapping
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from local_stack.command.reading import add_reading_flags, read_settings, read_span
from local_stack.command.topic_scan import ScanProgress, TopicScan
from springtide.audit.audit import day
from springtide.contracts.errors import ConfigError, ExitCode
from springtide.contracts.tasks import Task
from springtide.contracts.topics import EVENTS
from springtide.runtime.config import KafkaConfig, LabelsConfig
from springtide.runtime.settings import milliseconds, parse_duration
from springtide.windows.matching import DelayMatcher, MatchRules, merged
from springtide.windows.picture import draw_curves
from springtide.windows.proposal import TaskProposal, Window, as_dict, propose, settings_lines

WINDOWS = """Read topic `events`, measure how long labels take (Kaplan-Meier: impressions too young for their label
count for as long as they were seen), and propose observation and attribution windows per task, as lines for section
[labels], with the share of labels that each would catch."""


def add_windows(verb: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_reading_flags(verb)
    verb.add_argument("--catch", type=float, default=0.95, help="share of labels inside attribution (default: 0.95)")
    verb.add_argument("--early", type=float, default=0.5, help="share of labels inside observation (default: 0.5)")
    verb.add_argument("--horizon", default="14d", help="longest delay that is looked for (default: 14d)")
    verb.add_argument("--svg", metavar="FILE", help="draw the curves into this file")
    verb.set_defaults(act=run_windows)


def run_windows(given: Namespace) -> int:
    """Measure and propose.

    Raises:
        ConfigError: a flag or a setting breaks a rule.
        BrokerError: the topic does not exist.
    """
    kafka, labels, _ = read_settings(given)
    rules = _rules(given, labels)
    matchers = _read(kafka, rules)
    proposals = propose(merged(matchers), catch=given.catch, early=given.early) if matchers else {}
    if not any(proposals.values()):
        print("too few labels to say anything; read a longer time")
    note = _note(matchers)
    _print(proposals, note)
    if given.svg:
        picture = draw_curves(proposals, title="How long labels take, and the windows that catch them", note=note)
        with open(given.svg, "w", encoding="utf-8") as file:
            file.write(picture)
    if given.json:
        content = {"note": note, "catch": given.catch, "early": given.early, "tasks": as_dict(proposals)}
        given.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return ExitCode.OK


def _rules(given: Namespace, labels: LabelsConfig) -> MatchRules:
    begin, end = read_span(given)
    problems = [
        f"--{name}: expected a share between 0 and 1, got {share}; mend it"
        for name, share in (("catch", given.catch), ("early", given.early))
        if not 0.0 < share < 1.0
    ]
    if given.early > given.catch:
        problems.append(f"--early: expected at most --catch ({given.catch}), got {given.early}; lower it")
    try:
        horizon_ms = milliseconds(parse_duration(given.horizon))
    except ValueError as error:
        horizon_ms = 0
        problems.append(f"--horizon: {error}; mend it")
    if not problems and horizon_ms < 60_000:
        problems.append(f"--horizon: expected at least 1m, got {given.horizon}; raise it")
    if problems:
        raise ConfigError(problems)
    return MatchRules(
        horizon_ms=horizon_ms, lateness_ms=milliseconds(labels.allowed_lateness),
        max_advance_ms=milliseconds(labels.max_advance), from_ms=begin, to_ms=end,
    )  # fmt: skip


def _read(kafka: KafkaConfig, rules: MatchRules) -> list[DelayMatcher]:
    matchers: dict[int, DelayMatcher] = {}
    with ScanProgress() as progress:
        for record in TopicScan(kafka, EVENTS, progress):
            matcher = matchers.get(record.partition)
            if matcher is None:
                matcher = matchers[record.partition] = DelayMatcher(rules)
            matcher.read(record.value)
        for matcher in matchers.values():
            matcher.finish()
    return list(matchers.values())


def _note(matchers: list[DelayMatcher]) -> str:
    """Say in one line what was looked at."""
    if not matchers:
        return "no events"
    impressions = merged(matchers)["click"].impressions
    begin = min((matcher.first_ms for matcher in matchers if matcher.first_ms is not None), default=0)
    end = max((matcher.newest_ms for matcher in matchers if matcher.newest_ms is not None), default=0)
    sampled = min(matcher.sampled for matcher in matchers)
    users = "" if sampled == 1.0 else f" of {sampled:.2%} of users"
    return f"{impressions:,} impressions{users}, {day(begin)[:16]} to {day(end)[:16]}; Kaplan–Meier, the young censored"


def _print(proposals: Mapping[Task, TaskProposal | None], note: str) -> None:
    console = Console(highlight=False)
    console.print(note, style="dim", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("task", "labels", "observation catches", "attribution catches", "seen to"):
        justify: Literal["left", "right"] = "left" if column == "task" else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    for task, proposal in proposals.items():
        if proposal is None:
            table.add_row(task, "too few", "?", "?", "")
            continue
        early, late, curve = proposal.observation, proposal.attribution, proposal.curve
        reach = f"{curve.reach_ms / 3_600_000:,.0f} h"
        table.add_row(task, f"{curve.labels:,}", _worth(early), _worth(late), reach)
    console.print(table)
    for task, proposal in proposals.items():
        if proposal is not None and proposal.doubt:
            console.print(f"{task}: {proposal.doubt}", style="yellow", soft_wrap=True)
    for line in settings_lines(proposals):
        console.print(line, markup=False, soft_wrap=True)


def _worth(window: Window) -> str:
    return f"{window.text}: {window.share:.1%} ({100 * window.low:.1f}–{100 * window.high:.1f})"
