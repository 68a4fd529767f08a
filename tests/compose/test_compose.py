"""`docker compose up` for real; then every service is killed in turn while traffic flows, and the loop recovers.

Run by `make compose-test`, on a machine with a Docker engine; not part of `make test`.
"""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

PAGE = "http://127.0.0.1:18080"
SERVICES = ("joiner", "features", "feature_store", "serving", "trainer", "simulator", "monitoring", "redis", "kafka")


def compose(*arguments: str, seconds: float = 900) -> str:
    done = subprocess.run(
        ["docker", "compose", *arguments], capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def panels() -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{PAGE}/api/snapshot", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)["panels"]
            return found
    except (OSError, KeyError, ValueError):
        return {}


def wait(what: str, holds: Callable[[], bool], seconds: float) -> float:
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > seconds:
            states = compose("ps", "--all", "--format", "{{.Service}} {{.State}} {{.Health}}")
            raise AssertionError(f"expected {what} within {seconds:.0f} s, got\n{states}")
        time.sleep(1)
    return time.monotonic() - begun


def states() -> dict[str, str]:
    lines = compose("ps", "--all", "--format", "{{.Service}} {{.State}} {{.Health}}").splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line.strip()}


@pytest.fixture(scope="module")
def loop() -> Iterator[None]:
    compose("down", "--volumes", "--remove-orphans")
    compose("up", "--detach", "--build")
    wait("events on the page", lambda: bool(panels().get("now_ms")), 600)
    yield
    compose("down", "--volumes", "--remove-orphans")


def is_running(service: str) -> bool:
    return "running" in states()[service]


def flows_since(before: float) -> bool:
    return traffic() > max(before, 0.0) + 20


def traffic() -> float:
    found = panels()
    return float(found["join"]["slates"]["in"]) if found.get("join") else -1.0


@pytest.mark.timeout(3000)
@pytest.mark.usefixtures("loop")
def test_every_service_is_killed_in_turn_and_the_loop_goes_on() -> None:
    for service in SERVICES:
        compose("kill", "--signal", "KILL", service)
        # An engine takes a kill by its own command for a wish and leaves the container down; `up` is the way back.
        # A process that dies by itself is started again by the restart policy (the next test).
        compose("up", "--detach", "--no-recreate")
        wait(f"{service} healthy again", partial(is_running, service), 120)
        before = traffic()
        took = wait(f"traffic after {service} was killed", partial(flows_since, before), 400)
        print(f"{service}: slates flow again {took:.0f} s after it was back")
    found = panels()
    assert set(found["join"]["labels_residual"].values()) == {0}
    assert found["join"]["slates_residual"] == 0


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("loop")
def test_a_process_that_dies_by_itself_is_started_again_by_the_engine() -> None:
    subprocess.run(["docker", "compose", "exec", "-T", "joiner", "sh", "-c", "kill -9 -1"], check=False, timeout=60)
    wait("the joiner restarted", partial(is_running, "joiner"), 120)
    before = traffic()
    wait("traffic", partial(flows_since, before), 400)
