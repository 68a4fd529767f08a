"""Starts all processes in order of readiness, keeps an eye on them, and ends them leaving none."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from local_stack import orphans
from local_stack.broker.launch import prepare
from local_stack.broker.topics import create_topics, plan_topics
from local_stack.errors import NotRunningError, ProcessFailedError
from local_stack.folders import BROKER_FOLDER, LOG_FOLDER, MARKER, claim, wipe
from local_stack.keeper import Keeper, environment_for
from local_stack.lock import LOCK, take_lock
from local_stack.plan import Plan
from local_stack.processes import BROKER, Process, startable, stop_waves
from local_stack.run_record import page_token, write_record
from local_stack.supervisor_conf import render_conf
from local_stack.watch import View, Watch

Tell = Callable[[str], None]

KEPT_FILES = (MARKER, LOCK)
"""What a wipe leaves: the folder stays ours and stays locked."""

TOKEN_VARIABLE = "SPRINGTIDE__MONITORING__TOKEN"
"""Passed in the environment: a command line can be read by everyone on the machine."""

KEEPER_END_S = 30.0
"""How long supervisord may take to end once its processes have ended, seconds."""

ORPHAN_GRACE_S = 8.0
"""How long what a crashed process started may take to end by itself, seconds."""


class Stack:
    """The processes of one state folder.

    Args:
        plan: what to run and where.
        tell: is given a sentence whenever something notable happens.
        hurried: says whether an orderly end takes too long for whoever waits for it.
    """

    def __init__(self, plan: Plan, tell: Tell, hurried: Callable[[], bool] = lambda: False) -> None:
        self.plan = plan
        self._hurried = hurried
        self.keeper = Keeper(plan.state)
        self.watch = Watch(plan.processes, self.keeper, plan.kafka.bootstrap)
        self._tell = tell
        self._lock: IO[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._started: set[str] = set()
        self._deadlines: dict[str, float] = {}
        self._pids: dict[str, int] = {}
        self._sweep_at = float("inf")

    def open(self, *, resume: bool) -> None:
        """Claim the state folder, end what an earlier run left running, and start supervisord.

        Without `resume` the state of the earlier run is wiped.

        Raises:
            StackError: the folder is not ours or in use, or the broker cannot be prepared.
        """
        state = self.plan.state
        claim(state)
        self._take_lock()
        self._end_leftovers()
        if not resume:
            self._start_afresh()
        (state / LOG_FOLDER).mkdir(parents=True, exist_ok=True)
        settings = self.plan.local_stack.broker(self.plan.kafka)
        prepare(settings, state / BROKER_FOLDER, self.plan.cache, progress=self._tell)
        conf = state / "supervisord.conf"
        conf.write_text(render_conf(self.plan.processes, state, self.plan.workdir), encoding="utf-8")
        conf.chmod(0o600)
        write_record(self.plan)
        environment = {**environment_for(self.plan.run_id), TOKEN_VARIABLE: page_token(state)}
        self._child = self.keeper.spawn(conf, environment)

    def step(self) -> list[View]:
        """Look once, start what may start now, and return what was seen.

        Raises:
            ProcessFailedError: a process gave up, or was not ready in time.
            NotRunningError: supervisord itself is gone.
        """
        views = self.watch.look()
        self._check(views)
        done = {view.name for view in views if view.ready or view.is_done}
        for process in startable(self.plan.processes, self._started, done):
            self._start(process)
        self._sweep(views)
        return views

    def is_up(self, views: Sequence[View]) -> bool:
        """Return whether every process was started and is ready, or has done its work."""
        return len(self._started) == len(views) and all(view.ready or view.is_done for view in views)

    def close(self) -> None:
        """End everything and let go of the state folder."""
        try:
            self._end_all()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _end_all(self) -> None:
        """End every process in reverse order, then supervisord, then whatever is left of the run."""
        try:
            self._stop_in_order()
            if not self._hurried():
                self.keeper.shutdown()
                self._wait_for_keeper()
        except NotRunningError:
            pass  # it is gone already; its children are ended below
        finally:
            orphans.end(orphans.members(self.plan.run_id))
            if self._child is not None:
                self._child.wait()
                self._child = None

    def _take_lock(self) -> None:
        self._lock = take_lock(self.plan.state)

    def _end_leftovers(self) -> None:
        left = orphans.members(self.plan.run_id)
        if left:
            self._tell(f"ending {len(left)} processes that an earlier run left behind")
            self._end_all()

    def _start_afresh(self) -> None:
        state = self.plan.state
        if any(path.name not in KEPT_FILES for path in state.iterdir()):
            self._tell(f"wiping the state of the earlier run in {state} (`--resume` would go on from it)")
            wipe(state, keep=KEPT_FILES)

    def _start(self, process: Process) -> None:
        if process.name != BROKER and BROKER in process.needs:
            created = create_topics(self.plan.kafka.bootstrap, plan_topics(self.plan.kafka))
            if created:
                self._tell(f"created {len(created)} topics")
        self.keeper.start(process.name)
        self._started.add(process.name)
        self._deadlines[process.name] = time.monotonic() + self.plan.local_stack.ready_timeout.total_seconds()

    def _check(self, views: Sequence[View]) -> None:
        for view in views:
            if view.ready or view.is_done:
                self._deadlines.pop(view.name, None)
            late = time.monotonic() > self._deadlines.get(view.name, float("inf"))
            if view.has_failed or late:
                log = self.plan.state / LOG_FOLDER / f"{view.name}.log"
                got = f"none within {self.plan.local_stack.ready_timeout}" if late else f"{view.status} ({view.state})"
                raise ProcessFailedError(f"{view.name}: expected it ready, got {got}; read {log}:\n{last_lines(log)}")

    def _sweep(self, views: Sequence[View]) -> None:
        """End what a restarted process's earlier life left behind, some seconds after the restart."""
        pids = {view.name: view.pid for view in views if view.pid}
        if any(self._pids.get(name, pid) != pid for name, pid in pids.items()):
            self._sweep_at = time.monotonic() + ORPHAN_GRACE_S
        self._pids.update(pids)
        if time.monotonic() > self._sweep_at:
            self._sweep_at = float("inf")
            lost = orphans.end(orphans.adopted(self.plan.run_id, self.keeper.pid()))
            if lost:
                self._tell(f"ended {lost} processes that a crashed one had left behind")

    def _stop_in_order(self) -> None:
        for process in self.keeper.processes():
            if process.name == BROKER and process.pid:
                os.kill(process.pid, signal.SIGCONT)  # a paused one would not hear the request
        for wave in stop_waves(self.plan.processes):
            names = {process.name for process in wave}
            for name in names:
                self.keeper.stop(name)
            deadline = time.monotonic() + max(process.stop_timeout_s for process in wave) + 5
            while any(one.pid and one.name in names for one in self.keeper.processes()):
                if self._hurried() or time.monotonic() > deadline:
                    break  # past the deadline supervisord has sent kill -9; the sweep at the end takes the rest
                time.sleep(0.1)

    def _wait_for_keeper(self) -> None:
        deadline = time.monotonic() + KEEPER_END_S
        while self.keeper.is_up() and time.monotonic() < deadline and not self._hurried():
            time.sleep(0.1)


def last_lines(path: Path, count: int = 12) -> str:
    """Return the end of a log file, or nothing when there is none."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
    except OSError:
        return ""
