"""The command as a user meets it: a demo of one broker and a simulator that only pretends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack import orphans
from local_stack.folders import claim
from local_stack.interrupt import ONE_PRESS_S
from local_stack.plan import CHECKOUT, Plan
from springtide.contracts.errors import ExitCode

SIMULATOR = """
import sys
import time
from springtide.runtime.command_line import run_process

def main(runtime):
    progress = 0.0
    while not runtime.shutdown.wait(0.1):
        progress = min(1.0, progress + 0.25)
        runtime.health.update(ready=True, status=f"at {progress}", done=progress == 1.0)
        runtime.health.update(progress=progress, impressions=99)

sys.exit(run_process("simulator", "Pretends.", {}, main))
"""

FRONT = """
import sys
import time
from local_stack import command
from local_stack.command import demo
from local_stack.processes import BROKER, Row
demo.VERIFICATION = ()  # there is no truth to hold a pretended story against
demo.TABLE = (
    Row(name=BROKER, module="local_stack.broker", needs=(), has_health=False),
    Row(name="simulator", module="pretender", needs=(BROKER,)),
)
sys.exit(command.main(sys.argv[1:]))
"""


class Front:
    """A `springtide` command of its own process, with the small table."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        (folder / "pretender.py").write_text(SIMULATOR)
        self._sets = [part for value in plan.sets for part in ("--set", value)]
        self._environ = {**os.environ, "PYTHONPATH": f"{CHECKOUT}:{folder}"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "-c", FRONT, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self._environ)

    def demo(self, *arguments: str) -> subprocess.Popen[str]:
        return self.start("demo", "--set", "simulator.days=2", *self._sets, *arguments)

    def ask(self, *arguments: str) -> tuple[int, str]:
        with self.start(*arguments) as asked:
            text = asked.communicate(timeout=60)[0]
        return asked.returncode, text


@pytest.fixture
def front(plan: Plan, tmp_path: Path) -> Iterator[Front]:
    yield Front(plan, tmp_path)
    orphans.end(orphans.members(plan.run_id))


def read_until(run: subprocess.Popen[str], words: str) -> str:
    assert run.stdout is not None
    seen = ""
    for line in run.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} never came; got:\n{seen}")


def test_a_demo_with_exit_writes_its_summary_and_can_be_resumed(front: Front, plan: Plan, tmp_path: Path) -> None:
    with front.demo("--exit", "--json", str(tmp_path / "bars.json")) as run:
        text = run.communicate(timeout=120)[0]
    assert (tmp_path / "bars.json").exists(), text
    bars = {bar["bar"]: bar for bar in json.loads((tmp_path / "bars.json").read_text())}
    assert run.returncode == ExitCode.BARS_MISSED, text
    assert bars["streams drained"]["holds"]
    assert bars["impressions shown"] == {
        "bar": "impressions shown", "value": 99, "limit": 85714.2857, "holds": False, "unit": "impressions",
    }  # fmt: skip
    assert orphans.members(plan.run_id) == []

    storage = plan.state / "broker" / "logs" / "meta.properties"
    first = storage.read_text()
    with front.demo("--resume") as run:
        read_until(run, "page: ")
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    assert storage.read_text() == first


def test_a_run_can_be_watched_disturbed_and_stopped_from_another_terminal(front: Front, plan: Plan) -> None:
    with front.demo() as run:
        text = read_until(run, "stays up")
        assert "?token=t" in text
        code, seen = front.ask("status")
        assert code == ExitCode.OK
        assert "simulator" in seen
        assert "at 1.0" in seen

        assert front.ask("inject", "pause", "--seconds", "1")[0] == ExitCode.OK
        read_until(run, "the broker goes on")
        assert front.ask("inject", "kill", "simulator")[0] == ExitCode.OK
        read_until(run, "kill -9 simulator")
        assert front.ask("clean-state")[0] == ExitCode.ALREADY_RUNNING

        assert front.ask("stop") == (ExitCode.OK, "stopped\n")
        run.communicate(timeout=60)
    assert run.returncode == ExitCode.BARS_MISSED
    assert orphans.members(plan.run_id) == []
    assert front.ask("status")[0] == ExitCode.NOT_RUNNING
    assert front.ask("clean-state")[0] == ExitCode.OK
    assert not plan.state.exists()


def test_ctrl_c_during_the_start_stops_in_order_even_when_it_arrives_twice(front: Front, plan: Plan) -> None:
    claim(plan.state)
    (plan.state / "stale").touch()
    with front.demo() as run:
        text = read_until(run, "broker: starting")
        run.send_signal(signal.SIGTERM)
        run.send_signal(signal.SIGINT)
        text += run.communicate(timeout=60)[0]
    assert run.returncode == ExitCode.INTERRUPTED
    assert "wiping the state" in text
    assert not (plan.state / "stale").exists()
    assert "stopped: broker" in (plan.state / "logs" / "supervisord.log").read_text()
    assert orphans.members(plan.run_id) == []


def test_a_second_ctrl_c_does_not_wait(front: Front, plan: Plan) -> None:
    with front.demo() as run:
        read_until(run, "simulator: ready")
        (stuck,) = [one for one in orphans.members(plan.run_id) if "pretender" in one.cmdline()]
        stuck.suspend()  # it will not hear the request to end
        run.send_signal(signal.SIGINT)
        read_until(run, "stopping everything")
        time.sleep(ONE_PRESS_S)  # sooner, it would count as the same press
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    assert "killing 'simulator'" not in (plan.state / "logs" / "supervisord.log").read_text(), "it waited all the same"
    assert run.returncode == ExitCode.INTERRUPTED
    assert orphans.members(plan.run_id) == []
