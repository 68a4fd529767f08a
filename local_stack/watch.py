"""Looks at every process once: what supervisord knows, and what the process says of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

from local_stack.broker.topics import is_answering
from local_stack.keeper import Keeper, Kept
from local_stack.processes import Process
from local_stack.supervisor_conf import FINAL_EXITS

_HEALTH_TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One process at one moment."""

    name: str
    state: str
    """supervisord's word, or SILENT when it runs and does not answer."""
    pid: int
    ready: bool
    status: str
    """Its own line of progress."""
    restarts: int
    exit_status: int
    details: dict[str, Any] = field(default_factory=dict)
    """Everything in its /health answer."""

    @property
    def has_failed(self) -> bool:
        """Whether it ended for good and its work was not done; a crash is no failure, it is mended."""
        return self.state == "FATAL" or (self.state == "EXITED" and self.exit_status in FINAL_EXITS[1:])

    @property
    def is_done(self) -> bool:
        """Whether it ended because its work was done."""
        return self.state == "EXITED" and self.exit_status == 0


class Watch:
    """Looks at all processes of a table, their health in parallel."""

    def __init__(self, processes: Sequence[Process], keeper: Keeper, bootstrap: str) -> None:
        self._processes = processes
        self._keeper = keeper
        self._bootstrap = bootstrap
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(processes)), thread_name_prefix="watch")

    def look(self) -> list[View]:
        """Return one view a process, in the table's order.

        Raises:
            NotRunningError: supervisord does not answer.
        """
        kept = {one.name: one for one in self._keeper.processes()}
        return list(self._pool.map(lambda one: self._view(one, kept[one.name]), self._processes))

    def _view(self, process: Process, kept: Kept) -> View:
        health = self._health(process) if kept.pid else {}
        return View(
            name=process.name,
            state=kept.state,
            pid=kept.pid,
            ready=bool(health.get("ready")),
            status=str(health.get("status", "")) or _in_words(kept),
            restarts=kept.restarts,
            exit_status=kept.exit_status,
            details=health,
        )

    def _health(self, process: Process) -> dict[str, Any]:
        if process.health_port:
            return ask_health(process.health_port)
        answers = is_answering(self._bootstrap)
        return {"ready": answers, "status": f"answering at {self._bootstrap}" if answers else "no answer"}


def ask_health(port: int) -> dict[str, Any]:
    """Return what a process's /health says, or nothing when it does not answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        answer = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}


def _in_words(kept: Kept) -> str:
    if kept.state == "EXITED":
        return "done" if kept.exit_status == 0 else f"ended with exit code {kept.exit_status}"
    if kept.state == "STOPPED":
        return "waiting for its turn" if not kept.started_s else "stopped"
    return {"BACKOFF": "ended too soon; trying again", "FATAL": "given up"}.get(kept.state, "starting")
