"""`springtide status`, `stop`, `clean-state` and `create-topics`."""

from __future__ import annotations

import json
import os
import signal
import time
from argparse import Namespace
from dataclasses import asdict

from rich.console import Console

from local_stack import orphans
from local_stack.broker.topics import create_topics, plan_topics
from local_stack.display import table_of
from local_stack.errors import AlreadyRunningError, NotRunningError, ProcessFailedError
from local_stack.folders import state_folder, wipe
from local_stack.keeper import Keeper
from local_stack.lock import holder
from local_stack.run import page_url
from local_stack.run_record import read_running_plan
from local_stack.watch import Watch
from springtide.contracts.errors import ExitCode
from springtide.runtime.config import KafkaConfig
from springtide.runtime.settings import apply_overrides, build_sections, read_profile

STATUS = """Tell what of the stack runs, from any terminal: each process's state, readiness, restarts and
progress, and the page's address."""
STOP = "Stop the running stack, as Ctrl-C in its terminal does; also one whose terminal is gone."
CLEAN = "Remove everything that the stack keeps: broker, features, checkpoints, models, logs."
TOPICS = "Create the topics with their partitions and policies on the Kafka of `kafka.bootstrap`."

_STOP_TIMEOUT_S = 180.0


def status(given: Namespace) -> int:
    """Print what runs.

    Raises:
        NotRunningError: nothing does.
    """
    plan = read_running_plan(os.environ)
    keeper = Keeper(plan.state)
    views = Watch(plan.processes, keeper, plan.kafka.bootstrap).look()
    if given.json:
        print(json.dumps([asdict(view) for view in views], indent=2, default=str))
        return ExitCode.OK
    console = Console()
    console.print(table_of(views))
    console.print(f"page: {page_url(plan)}", highlight=False, soft_wrap=True)
    if not holder(plan.state):
        console.print("its terminal is gone; `springtide stop` ends it", highlight=False)
    return ExitCode.OK


def stop(given: Namespace) -> int:
    """Stop the stack and wait until it is gone.

    Raises:
        NotRunningError: nothing runs.
        ProcessFailedError: it did not end in time.
    """
    run_id = str(state_folder(os.environ))
    front = holder(state_folder(os.environ))
    left = orphans.members(run_id)
    if not front and not left:
        raise NotRunningError(f"{run_id}: expected a running stack, got none; start one with `make demo`")
    keeper = Keeper(state_folder(os.environ))
    if front:
        os.kill(front, signal.SIGTERM)
    elif keeper.is_up():
        os.kill(keeper.pid(), signal.SIGTERM)  # it ends its processes in reverse order
    else:
        orphans.end(left)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while holder(state_folder(os.environ)) or orphans.members(run_id):
        if time.monotonic() > deadline:
            raise ProcessFailedError(f"stop: expected an end within {_STOP_TIMEOUT_S:g} s, got none; try again")
        time.sleep(0.2)
    print("stopped")
    return ExitCode.OK


def clean_state(given: Namespace) -> int:
    """Remove the state folder.

    Raises:
        AlreadyRunningError: a stack runs on it.
        ForeignFolderError: it is not ours.
    """
    folder = state_folder(os.environ)
    if holder(folder) or orphans.members(str(folder)):
        raise AlreadyRunningError(f"{folder}: expected no running stack, got one; `springtide stop` ends it")
    print(f"removed {folder}" if wipe(folder) else f"nothing at {folder}")
    return ExitCode.OK


def create(given: Namespace) -> int:
    """Create the topics that are missing."""
    values = apply_overrides(read_profile(given.config), os.environ, given.sets)
    kafka: KafkaConfig = build_sections(values, {"kafka": KafkaConfig})["kafka"]
    created = create_topics(kafka.bootstrap, plan_topics(kafka))
    print(f"created: {', '.join(created) or 'none, all are there'}")
    return ExitCode.OK
