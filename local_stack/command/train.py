"""`springtide train`: rebuilds the daily chain from archived days, in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from local_stack.command.reading import add_settings_flags
from local_stack.errors import NotRunningError
from local_stack.folders import state_folder
from local_stack.interrupt import Interrupt
from local_stack.plan import CHECKOUT
from local_stack.run_record import read_running_plan
from springtide.contracts.errors import ConfigError, ExitCode

TRAIN = """Rebuild the daily chain from the days that the trainer has archived: the same rows in the same order give the
same parameters as the live chain's. Each day that is learned is kept as a bundle and a checkpoint in a folder; Ctrl-C
stops at once, and the same command goes on after the last whole day. Runs beside a live stack and needs none."""


def add_train(verb: argparse.ArgumentParser) -> None:
    """Add the flags."""
    verb.add_argument("--from", dest="first", metavar="DAY", help="oldest day, UTC, such as 2026-01-05 (default: all)")
    verb.add_argument("--to", dest="last", metavar="DAY", help="newest day, which is learned too (default: all)")
    verb.add_argument("--archive", metavar="FOLDER", help="archived days, a folder or URL (default: trainer.archive)")
    verb.add_argument("--out", metavar="FOLDER", help="where bundles and checkpoints go (default: backfill.out)")
    verb.add_argument("--allow-gaps", action="store_true", help="pass over days that are not archived")
    add_settings_flags(verb)
    verb.set_defaults(act=run_train)


def run_train(given: Namespace) -> int:
    """Start the rebuild, pass Ctrl-C on, and return its exit code.

    Raises:
        ConfigError: --from or --to is no day, or they are the wrong way round.
    """
    command = train_command(given, os.environ)
    interrupt = Interrupt().install()
    process = subprocess.Popen(command, cwd=CHECKOUT, start_new_session=True)  # Ctrl-C reaches it through us alone
    asked = False
    while (code := _ended(process)) is None:
        if interrupt.asked and not asked:
            asked = True
            print("stopping; the days that are whole stay, and the same command goes on after them", flush=True)
            process.send_signal(signal.SIGTERM)
        if interrupt.hurried:
            process.kill()
    if code >= 0:
        return code
    return ExitCode.INTERRUPTED if asked else ExitCode.PROCESS_FAILED


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return None


def train_command(given: Namespace, environ: Mapping[str, str]) -> list[str]:
    """Return program and arguments of the rebuild.

    Raises:
        ConfigError: as in `run_train`.
    """
    _check_days(given.first, given.last)
    config, sets = _settings(given.config, environ)
    wishes = {
        "process.state_folder": str(state_folder(environ)),
        "trainer.archive": _place(given.archive),
        "backfill.out": _place(given.out),
        "backfill.first_day": given.first,
        "backfill.last_day": given.last,
        "backfill.allow_gaps": "true" if given.allow_gaps else None,
    }
    quoted = [f"{key}={_toml(value)}" for key, value in wishes.items() if value is not None]
    own = ["process.instance=backfill", "process.health_port=0"]
    flags = [part for value in (*sets, *given.sets, *own, *quoted) for part in ("--set", value)]
    return [sys.executable, "-m", "trainer.backfill", "--config", str(config), "--log-level", "WARNING", *flags]


def _check_days(first: str | None, last: str | None) -> None:
    problems = []
    days = {}
    for flag, text in (("--from", first), ("--to", last)):
        try:
            days[flag] = date.fromisoformat(text) if text else None
        except ValueError:
            problems.append(f"{flag}: expected a day such as 2026-01-05, got {text!r}; mend it")
    begin, end = days.get("--from"), days.get("--to")
    if begin and end and begin > end:
        problems.append(f"--to: expected {first} or later, got {last}; swap them")
    if problems:
        raise ConfigError(problems)


def _settings(config: Path | None, environ: Mapping[str, str]) -> tuple[Path, Sequence[str]]:
    if config is not None:
        return config.absolute(), ()
    try:
        plan = read_running_plan(environ)
    except NotRunningError:
        return CHECKOUT / "config" / "base.toml", ()
    return plan.config_file, plan.sets


def _place(given: str | None) -> str | None:
    """Return a folder of the command line as seen from here; the process runs elsewhere."""
    return given if given is None or "://" in given else str(Path(given).absolute())


def _toml(text: str) -> str:
    return text if text == "true" else json.dumps(text)
