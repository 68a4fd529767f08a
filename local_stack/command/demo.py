"""`springtide demo` and `springtide replay`: the stack in the foreground."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from local_stack.display import Display
from local_stack.interrupt import Interrupt
from local_stack.plan import CHECKOUT, make_plan
from local_stack.processes import SIMULATOR, TABLE, Row
from local_stack.run import Run, RunOptions
from local_stack.summary import CHECKS, Check, check_drained
from local_stack.verification import VERIFICATION
from local_stack.verification.join import check_join

DEMO = """Start a real Kafka and every process, tell the story of some simulated days, print a summary,
and keep the page up until Ctrl-C. Everything stays beneath one state folder, `.springtide` or
SPRINGTIDE_STATE."""

REPLAY = """Start the stack with a logged stream of real behaviour in place of the simulated users.
Views become exposures; carts and purchases become delayed labels."""


def run_demo(given: Namespace) -> int:
    """Run the whole loop."""
    wishes = {"simulator.days": given.days, "simulator.seed": given.seed, "simulator.speed": given.speed}
    sets = [f"{key}={value}" for key, value in wishes.items() if value is not None]
    return _run(given, sets, TABLE, (*CHECKS, *VERIFICATION))


def run_replay(given: Namespace) -> int:
    """Run the loop on a logged stream."""
    # pandas comes with the learner layer; other commands of this program run without
    from local_stack.verification.log_join import check_log_join
    from local_stack.verification.progressive import check_progressive

    checks = (check_drained, check_join, check_log_join, check_progressive)
    sets = [
        "simulator.mode=replay",
        "trainer.keep_scores=true",  # the summary compares them
        f"replay.file={given.file.absolute()}",
        f"replay.mapping={mapping_file(given.mapping)}",
    ]
    if given.speed is not None:
        sets.append(f"replay.speed={given.speed}")
    return _run(given, sets, replay_table(TABLE), checks)


def mapping_file(given: str) -> Path:
    """Return the mapping's path: a file, or the name of one in config/replay."""
    path = Path(given)
    known = CHECKOUT / "config" / "replay" / f"{given}.toml"
    return known if known.exists() and not path.exists() else path.absolute()


def replay_table(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the table without serving: a log's slates were served long ago."""
    kept = [row for row in rows if row.name != "serving"]
    return tuple(
        replace(row, needs=tuple(need for need in row.needs if need != "serving")) if row.name == SIMULATOR else row
        for row in kept
    )


def _run(given: Namespace, sets: Sequence[str], rows: Sequence[Row], checks: tuple[Check, ...]) -> int:
    profile = CHECKOUT / "config" / f"{given.profile}.toml"
    plan = make_plan(profile, [*sets, *given.sets], os.environ, rows=rows)
    options = RunOptions(resume=given.resume, leave=given.leave, json_file=given.json, checks=checks)
    interrupt = Interrupt().install()
    with Display(Console()) as display:
        return Run(plan, options, display, interrupt).to_the_end()
