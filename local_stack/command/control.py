"""Commands to the running loop: each becomes one message on topic `control`."""

from __future__ import annotations

import os
import time
import uuid
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from local_stack.broker.topics import is_answering
from local_stack.errors import NotRunningError
from local_stack.plan import Plan
from local_stack.run_record import read_running_plan
from springtide.contracts.codec import encode
from springtide.contracts.control import (
    AnyCommand,
    BrokerPause,
    Drift,
    Fault,
    FlashSale,
    KillProcess,
    Lift,
    Ramp,
    SampleRatioMismatch,
)
from springtide.contracts.errors import ConfigError, ExitCode
from springtide.contracts.topics import CONTROL
from springtide.runtime.kafka import make_producer

Head = dict[str, Any]
"""What every command carries: its id and the wall time of its issue."""

Make = Callable[[Namespace, Head], AnyCommand]


def send(given: Namespace) -> int:
    """Send the command that the command line describes.

    Raises:
        NotRunningError: no stack answers.
        ConfigError: a share is not between 0 and 1.
    """
    plan = read_running_plan(os.environ)
    if not is_answering(plan.kafka.bootstrap):
        raise NotRunningError(
            f"broker: expected an answer at {plan.kafka.bootstrap}, got none; start the stack with `make demo`"
        )
    _require_shares(given)
    _fill_in(given, plan)
    command = given.make(given, {"command_id": str(uuid.uuid4()), "issued_ms": time.time_ns() // 1_000_000})
    producer = make_producer(plan.kafka)
    producer.send(plan.kafka.topic(CONTROL.name), value=encode(command)).get(timeout=10)
    producer.close()
    print(f"sent: {command}")
    return ExitCode.OK


def drift(given: Namespace, head: Head) -> AnyCommand:
    """Change a task's true probability."""
    return Drift(**head, task=given.task, factor=given.factor)


def fault(given: Namespace, head: Head) -> AnyCommand:
    """Disturb the events."""
    return Fault(**head, kind=given.kind, rate=given.rate, seconds=given.seconds)


def flash_sale(given: Namespace, head: Head) -> AnyCommand:
    """Hold a sale."""
    return FlashSale(**head, traffic_factor=given.traffic, seconds=given.seconds)


def pause(given: Namespace, head: Head) -> AnyCommand:
    """Freeze the broker."""
    return BrokerPause(**head, seconds=given.seconds)


def kill(given: Namespace, head: Head) -> AnyCommand:
    """Crash a process."""
    return KillProcess(**head, process=given.process)


def ramp(given: Namespace, head: Head) -> AnyCommand:
    """Enrol more or fewer users."""
    return Ramp(**head, experiment=given.experiment, enrolled=given.enrolled)


def lift(given: Namespace, head: Head) -> AnyCommand:
    """Make one arm truly better or worse."""
    return Lift(**head, arm=given.arm, task=given.task, factor=given.factor)


def mismatch(given: Namespace, head: Head) -> AnyCommand:
    """Lose a share of one arm's slates."""
    return SampleRatioMismatch(**head, arm=given.arm, rate=given.rate)


def _require_shares(given: Namespace) -> None:
    values = {name: vars(given)[name] for name in ("rate", "enrolled") if name in vars(given)}
    problems = [
        f"--{name}: expected a share from 0 to 1, got {value}; mend it"
        for name, value in values.items()
        if not 0.0 <= value <= 1.0
    ]
    if problems:
        raise ConfigError(problems)


def _fill_in(given: Namespace, plan: Plan) -> None:
    if vars(given).get("experiment") == "":
        given.experiment = plan.value("experiment", "name", "main")
