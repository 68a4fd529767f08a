"""A small stack for the tests: the real broker and two processes that do nothing but tell their health."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack import orphans
from local_stack.folders import CACHE_VARIABLE, STATE_VARIABLE, cache_folder
from local_stack.plan import CHECKOUT, Plan, make_plan
from local_stack.processes import BROKER, Row

STUB = """
import subprocess
import sys
from springtide.runtime.command_line import run_process

def main(runtime):
    # As Ray's daemons do: a child in a session of its own, out of reach of a group kill.
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    runtime.health.update(ready=True, status="idle")
    runtime.shutdown.wait()

sys.exit(run_process("stub", "Does nothing.", {}, main))
"""

ROWS = (
    Row(name=BROKER, module="local_stack.broker", needs=(), has_health=False),
    Row(name="worker", module="stub", needs=(BROKER,)),
    Row(name="late", module="stub", needs=("worker",)),
)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plan]:
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv(CACHE_VARIABLE, str(cache_folder(os.environ)))
    broker_port, controller_port, health_port = free_ports(3)
    sets = [
        f"kafka.bootstrap=127.0.0.1:{broker_port}",
        f"local_stack.controller_port={controller_port}",
        f"local_stack.health_port_base={health_port}",
        "local_stack.free_disk_mib=200",
    ]
    made = make_plan(CHECKOUT / "config/base.toml", sets, os.environ, rows=ROWS, workdir=tmp_path)
    yield made
    assert orphans.end(orphans.members(made.run_id)) == 0, "the test left processes of its stack running"
