"""The stack starts in order, mends what crashes, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local_stack import orphans
from local_stack.errors import AlreadyRunningError
from local_stack.plan import CHECKOUT, Plan
from local_stack.stack import Stack
from local_stack.watch import View

TIMEOUT_S = 60.0


def step_until(stack: Stack, condition: Callable[[dict[str, View]], bool]) -> dict[str, View]:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        views = {view.name: view for view in stack.step()}
        if condition(views):
            return views
        time.sleep(0.1)
    raise AssertionError(f"condition not met; last seen {views}")


def all_ready(views: dict[str, View]) -> bool:
    return all(view.ready for view in views.values())


def sleepers(run_id: str) -> list[psutil.Process]:
    return [one for one in orphans.members(run_id) if one.name() == "sleep"]


def test_a_stack_starts_in_order_mends_and_ends_without_orphans(plan: Plan) -> None:
    told: list[str] = []
    stack = Stack(plan, told.append)
    try:
        stack.open(resume=False)
        views = step_until(stack, lambda seen: seen["broker"].pid != 0)
        assert {name for name, view in views.items() if view.pid} == {"broker"}
        step_until(stack, lambda views: views["worker"].ready)
        views = step_until(stack, all_ready)
        assert views["late"].restarts == 0
        assert len(sleepers(plan.run_id)) == 2

        os.kill(views["worker"].pid, signal.SIGKILL)
        views = step_until(stack, lambda seen: all_ready(seen) and seen["worker"].restarts == 1)
        step_until(stack, lambda _: len(sleepers(plan.run_id)) == 2)
        assert any("left behind" in line for line in told)

        os.kill(views["broker"].pid, signal.SIGKILL)
        step_until(stack, lambda seen: all_ready(seen) and seen["broker"].restarts == 1)
    finally:
        stack.close()
    assert orphans.members(plan.run_id) == []


def test_a_second_stack_on_the_same_folder_is_refused(plan: Plan) -> None:
    stack = Stack(plan, print)
    try:
        stack.open(resume=False)
        with pytest.raises(AlreadyRunningError, match=str(os.getpid())):
            Stack(plan, print).open(resume=True)
    finally:
        stack.close()


FRONT = """
import os, sys, time
from pathlib import Path
from tests.integration.local_stack.conftest import ROWS
from local_stack.plan import make_plan
from local_stack.stack import Stack
stack = Stack(make_plan(Path(sys.argv[1]), sys.argv[3:], os.environ, rows=ROWS, workdir=Path(sys.argv[2])), print)
stack.open(resume=False)
while not stack.is_up(stack.step()):
    time.sleep(0.1)
print("up", flush=True)
time.sleep(1000)
"""


def test_a_new_front_takes_over_from_a_killed_one(plan: Plan, tmp_path: Path) -> None:
    sets = [
        f"kafka.bootstrap={plan.kafka.bootstrap}",
        f"local_stack.controller_port={plan.local_stack.controller_port}",
        f"local_stack.health_port_base={plan.local_stack.health_port_base}",
        "local_stack.free_disk_mib=200",
    ]
    command = [sys.executable, "-c", FRONT, str(CHECKOUT / "config/base.toml"), str(tmp_path), *sets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as front:
        assert front.stdout is not None
        assert any(line == "up\n" for line in front.stdout)
        front.kill()
    assert len(sleepers(plan.run_id)) == 2, "the processes outlive their front"

    told: list[str] = []
    stack = Stack(plan, told.append)
    try:
        stack.open(resume=True)
        assert any("earlier run left behind" in line for line in told)
        step_until(stack, all_ready)
        assert len(sleepers(plan.run_id)) == 2
    finally:
        stack.close()
    assert orphans.members(plan.run_id) == []
