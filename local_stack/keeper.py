"""Starts supervisord, talks to it over its socket, and ends it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from local_stack.errors import NotRunningError, ProcessFailedError
from local_stack.folders import LOG_FOLDER
from local_stack.orphans import RUN_VARIABLE
from local_stack.supervisor_conf import LOG, socket_path

_UP_TIMEOUT_S = 20.0
_NO_ANSWER = (OSError, HTTPException)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What supervisord knows of one process."""

    name: str
    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED or FATAL."""
    pid: int
    """0 when it does not run."""
    exit_status: int
    """Of its last end."""
    started_s: int
    """Wall time of its last start, seconds since 1970."""
    restarts: int
    """Starts beyond the first."""


class Keeper:
    """The supervisord of one state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._socket = socket_path(state)

    def spawn(self, conf: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start supervisord in a session of its own, so that a terminal's Ctrl-C passes it by.

        Raises:
            ProcessFailedError: it ended, or did not answer in time.
        """
        command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(conf)]
        out = self._state / LOG_FOLDER / "supervisord.out"
        with out.open("ab") as log:
            child = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _UP_TIMEOUT_S
        while not self.is_up():
            if child.poll() is not None or time.monotonic() > deadline:
                raise ProcessFailedError(
                    f"supervisord: expected it to answer at {self._socket}, got exit {child.returncode}; read {out}"
                )
            time.sleep(0.05)
        return child

    def is_up(self) -> bool:
        """Return whether a supervisord answers."""
        try:
            self._call("getState")
        except NotRunningError:
            return False
        return True

    def pid(self) -> int:
        """Return supervisord's own process id."""
        return int(self._call("getPID"))

    def processes(self) -> list[Kept]:
        """Return what is known of each process, in the table's order."""
        starts = self._starts()
        infos = sorted(self._call("getAllProcessInfo"), key=lambda info: info["group"])
        return [
            Kept(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                exit_status=info["exitstatus"],
                started_s=info["start"],
                restarts=max(0, starts.get(info["name"], 0) - 1),
            )
            for info in infos
        ]

    def start(self, name: str) -> None:
        """Ask for a process's start; does not wait for it."""
        self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Ask for a process's end; does not wait for it. One that does not run is left so."""
        try:
            self._call("stopProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise

    def shutdown(self) -> None:
        """Ask supervisord to stop whatever is left and to end."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            server = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(server.supervisor, method)(*arguments)
        except _NO_ANSWER as problem:
            raise NotRunningError(
                f"springtide: expected a running stack at {self._state}, got no answer; start one with `make demo`"
            ) from problem
        finally:
            transport.close()

    def _starts(self) -> dict[str, int]:
        # supervisord tells no count of restarts, but logs each start.
        try:
            text = (self._state / LOG_FOLDER / LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        return count_starts(text)


def count_starts(log: str) -> dict[str, int]:
    """Return how often each process was started since the newest start of supervisord itself.

    >>> count_starts("INFO supervisord started with pid 1, INFO spawned: 'broker' with pid 2")
    {'broker': 1}
    """
    counts: dict[str, int] = {}
    for line in log.rpartition("supervisord started")[2].splitlines():
        found = re.search(r"spawned: '([^']+)' with pid", line)
        if found:
            counts[found[1]] = counts.get(found[1], 0) + 1
    return counts


def environment_for(run_id: str, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of every process of a run, marked so that none can be lost sight of."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**threads, "MALLOC_ARENA_MAX": "2", **base, "PYTHONUNBUFFERED": "1", RUN_VARIABLE: run_id}
