"""Finds every process of a run, however deep or adopted, by a mark in its environment.

Ray's daemons and Java leave the process group of whoever started them, so a group kill misses some.
The environment is inherited by all of them and outlives the parent.
"""

from __future__ import annotations

from collections.abc import Collection

import psutil

RUN_VARIABLE = "SPRINGTIDE_RUN"
"""Set to the run's state folder for supervisord and thereby for all that it starts."""

_GRACE_S = 5.0


def members(run_id: str) -> list[psutil.Process]:
    """Return all living processes that carry the run's mark."""
    return [one for one in psutil.process_iter() if _carries(one, run_id)]


def adopted(run_id: str, keeper_pid: int) -> list[psutil.Process]:
    """Return the run's processes that no longer descend from its supervisord."""
    try:
        keeper = psutil.Process(keeper_pid)
        family = {keeper.pid} | {child.pid for child in keeper.children(recursive=True)}
    except psutil.NoSuchProcess:
        family = set()
    return [one for one in members(run_id) if one.pid not in family]


def end(processes: Collection[psutil.Process], grace_s: float = _GRACE_S) -> int:
    """Ask the processes to end, kill those that do not within the grace, and return how many were alive."""
    alive = [one for one in processes if _signal(one, "terminate")]
    _, stubborn = psutil.wait_procs(alive, timeout=grace_s)
    for one in stubborn:
        _signal(one, "kill")
    psutil.wait_procs(stubborn, timeout=grace_s)
    return len(alive)


def _carries(one: psutil.Process, run_id: str) -> bool:
    try:
        return one.status() != psutil.STATUS_ZOMBIE and one.environ().get(RUN_VARIABLE) == run_id
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return False  # it is gone, or another user's


def _signal(one: psutil.Process, verb: str) -> bool:
    try:
        getattr(one, verb)()
    except psutil.NoSuchProcess:
        return False
    return True
