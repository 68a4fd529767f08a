"""The whole loop as a newcomer starts it: every process killed once, Ctrl-C, resumed; and not a row lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_stack import orphans
from local_stack.folders import CACHE_VARIABLE, STATE_VARIABLE, cache_folder

KILLED = ("streaming_joiner", "simulator", "streaming_features", "serving", "feature_store", "trainer", "broker")
"""In this order, each while traffic flows."""

READY_S = 240.0


class Loop:
    """One state folder, free ports, and the `springtide` command over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kafka, controller, page, gateway = _free_ports(4)
        self._environment = {
            **os.environ,
            STATE_VARIABLE: str(folder / "state"),
            CACHE_VARIABLE: str(cache_folder(os.environ)),
            "SPRINGTIDE__KAFKA__BOOTSTRAP": f"127.0.0.1:{kafka}",
            "SPRINGTIDE__LOCAL_STACK__CONTROLLER_PORT": str(controller),
            "SPRINGTIDE__LOCAL_STACK__HEALTH_PORT_BASE": str(_free_port_run(8)),
            "SPRINGTIDE__LOCAL_STACK__READY_TIMEOUT": f"{READY_S:.0f}s",
            "SPRINGTIDE__LOCAL_STACK__FREE_DISK_MIB": "200",
            "SPRINGTIDE__MONITORING__PORT": str(page),
            "SPRINGTIDE__SERVING__PORT": str(gateway),
            "SPRINGTIDE__SIMULATOR__GATEWAY": f"http://127.0.0.1:{gateway}",
        }

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "front.log").open("ab") as log:
            command = [sys.executable, "-m", "local_stack", "demo", *arguments]
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=self._environment)

    def ask(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "local_stack", *arguments]
        asked = subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False, timeout=60)
        return asked.stdout

    def status(self) -> dict[str, dict[str, Any]]:
        text = self.ask("status", "--json")
        rows = json.loads(text) if text.strip().startswith("[") else []
        return {row["name"]: row for row in rows}

    def wait(self, what: str, holds: Any, run: subprocess.Popen[bytes], seconds: float = READY_S) -> None:
        deadline = time.monotonic() + seconds
        while not holds(self.status()):
            assert run.poll() is None, f"the demo ended while waiting for {what}:\n{self.log()}"
            assert time.monotonic() < deadline, (
                f"expected {what} within {seconds} s, got\n{self.status()}\n{self.log()}"
            )
            time.sleep(0.5)

    def log(self) -> str:
        return (self.folder / "front.log").read_text()[-4000:]


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _free_port_run(length: int) -> int:
    for first in range(21_000, 29_000, length):
        try:
            for port in range(first, first + length):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError(f"expected {length} free ports in a row, got none")


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    yield Loop(tmp_path)
    orphans.end(orphans.members(str(tmp_path / "state")))


@pytest.mark.timeout(1500)
def test_every_process_is_killed_once_and_no_row_is_lost(loop: Loop) -> None:
    bars_file = loop.folder / "bars.json"
    run = loop.start("--days", "0.6", "--seed", "11", "--set", "simulator.speed=400")
    loop.wait("the simulator's first slates", lambda rows: rows.get("simulator", {}).get("ready"), run)
    for name in KILLED:
        before = loop.status()[name]["restarts"]
        loop.ask("inject", "kill", name)
        loop.wait(
            f"{name} back",
            lambda rows, name=name, before=before: rows[name]["restarts"] > before and rows[name]["ready"],
            run,
        )
    run.send_signal(signal.SIGINT)
    run.wait(timeout=120)
    assert orphans.members(str(loop.folder / "state")) == [], "Ctrl-C left processes behind"

    run = loop.start("--days", "0.6", "--seed", "11", "--resume", "--exit", "--json", str(bars_file))
    run.wait(timeout=900)
    assert bars_file.exists(), loop.log()
    bars = {bar["bar"]: bar for bar in json.loads(bars_file.read_text())}
    must_hold = [bar for name, bar in bars.items() if name.startswith("join: ")]
    assert len(must_hold) >= 8
    assert [bar for bar in must_hold if not bar["holds"]] == []
    assert bars["streams drained"]["holds"]
    assert bars["failed requests"]["holds"]
