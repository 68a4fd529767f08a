"""`springtide audit`: joins stored events again, in batch, and names every row on topic `samples` that differs."""

from __future__ import annotations

import argparse
import json
from argparse import Namespace

from rich.console import Console

from local_stack.command.audit_source import KafkaSource
from local_stack.command.reading import add_reading_flags, read_settings, read_span
from local_stack.command.topic_scan import ScanProgress
from springtide.audit.audit import AuditReport, audit, day
from springtide.audit.differences import Difference
from springtide.audit.expected import AuditRange
from springtide.contracts.errors import ConfigError, ExitCode
from springtide.runtime.settings import milliseconds, parse_duration

AUDIT = """Join the events of any piece of time again, in batch, and report every row of topic `samples` that differs:
missing, unexpected, with another payload, or said with two payloads. Judged are slates whose windows had closed by
what the joiner has committed."""


def add_audit(verb: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_reading_flags(verb)
    verb.add_argument("--show", type=int, default=10, metavar="N", help="differences to print in full (default: 10)")
    verb.add_argument("--slice", default="1d", help="event time joined at once; less needs less memory (default: 1d)")
    verb.add_argument(
        "--to-end", action="store_true", help="judge up to the end of the topic, not to what the joiner has committed"
    )
    verb.set_defaults(act=run_audit)


def run_audit(given: Namespace) -> int:
    """Audit, and say by the exit code whether all rows are right.

    Raises:
        ConfigError: a flag or a setting breaks a rule.
        BrokerError: a topic does not exist.
    """
    kafka, labels, values = read_settings(given)
    begin, end = read_span(given)
    try:
        slice_ms = milliseconds(parse_duration(given.slice))
    except ValueError as error:
        raise ConfigError([f"--slice: {error}; mend it"]) from error
    carry = values.get("joiner", {}).get("features_until", "final") == "final"
    span = AuditRange(from_ms=begin, to_ms=end, slice_ms=max(slice_ms, 60_000), corrections_carry_features=carry)
    with ScanProgress() as progress:
        source = KafkaSource(kafka, labels, span, progress, to_end=given.to_end)
        report = audit(source, labels, span)
    _print(report, source, given.show)
    if given.json:
        content = {**report.to_dict(), "set_aside": dict(source.set_aside)}
        given.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if report.empty:
        return ExitCode.NOTHING_JUDGED
    return ExitCode.ROWS_DIFFER if report.verdict else ExitCode.OK


def _print(report: AuditReport, source: KafkaSource, show: int) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    verdict, judged = report.verdict, report.judged
    console.print(f"{report.counts['events']:,} events read; at most {report.counts['held_most']:,} held at once")
    for reason, number in sorted((+source.set_aside).items()):
        console.print(f"set aside: {number:,} events, {reason}")
    for partition, mark in report.watermarks_ms.items():
        console.print(f"partition {partition}: watermark {day(mark)}")
    console.print(f"judged: slates shown from {day(judged.from_ms)} to {day(judged.to_ms)},")
    console.print(f"        rows whose windows had closed before {day(judged.due_before_ms)}")
    said = f"{verdict.said:,} on the topic, {verdict.repeated:,} of them repetitions"
    console.print(f"rows: {verdict.expected:,} expected, {said}")
    for name, keys in {**verdict.kinds, "of late events (not counted)": verdict.late}.items():
        console.print(f"  {name}: {len(keys):,}")
    for difference in report.differences[:show]:
        _print_difference(console, difference)
    if len(report.differences) > show:
        console.print(f"… and {len(report.differences) - show:,} more; --show N or --json FILE names them")
    if report.empty:
        console.print(
            "nothing to judge: no slate of this time has closed windows before what the joiner has committed; "
            "wait, see the watermarks above, or judge to the end of the topic with --to-end"
        )


def _print_difference(console: Console, found: Difference) -> None:
    console.print(f"{found.kind}: {found.row_id}, user {found.user_id}, shown {day(found.impression_time_ms)}")
    for line in found.fields:
        console.print(f"    {line}")
