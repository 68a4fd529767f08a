"""The table of processes: what each is run with, where it tells its health, and what it waits for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BROKER = "broker"
SIMULATOR = "simulator"


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One kept process."""

    name: str
    """Its name in the display, in the logs and in `kill_process`."""

    command: tuple[str, ...]
    """Program and arguments."""

    needs: tuple[str, ...] = ()
    """Names of the processes that must be ready before it starts."""

    health_port: int = 0
    """Loopback port of its /health; 0: it has none, and is ready when the broker answers."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """What is added to its environment."""

    stop_timeout_s: int = 15
    """Wall time between the request to end and kill -9, seconds."""

    def command_line(self) -> str:
        """Return the command as a shell would be given it."""
        return shlex.join(self.command)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the table, before ports and settings are filled in."""

    name: str
    module: str
    needs: tuple[str, ...]
    sets: tuple[str, ...] = ()
    stop_timeout_s: int = 15
    has_health: bool = True


TABLE = (
    Row(name=BROKER, module="local_stack.broker", needs=(), has_health=False, stop_timeout_s=30),
    Row(name="monitoring", module="monitoring", needs=(BROKER,)),
    Row(name="feature_store", module="feature_store", needs=(BROKER,)),
    Row(name="streaming_joiner", module="streaming", needs=(BROKER,), sets=("streaming.role=joiner",)),
    Row(name="streaming_features", module="streaming", needs=(BROKER,), sets=("streaming.role=features",)),
    Row(name="trainer", module="trainer", needs=(BROKER,), stop_timeout_s=40),
    Row(name="serving", module="serving", needs=(BROKER,), stop_timeout_s=25),
    Row(
        name=SIMULATOR,
        module="simulator",
        needs=("serving", "trainer", "streaming_joiner", "streaming_features", "monitoring", "feature_store"),
    ),
)


def process_table(
    config_file: Path, state: Path, sets: Sequence[str], port_base: int, rows: Iterable[Row] = TABLE
) -> list[Process]:
    """Return the processes in starting order.

    Args:
        config_file: the settings profile that all of them read.
        state: the state folder.
        sets: `section.key=value` overrides that all of them get.
        port_base: the first one's health port; the others follow.
        rows: the table.
    """
    return [
        Process(
            name=row.name,
            command=_command(row, config_file, state, sets, port_base + place),
            needs=row.needs,
            health_port=port_base + place if row.has_health else 0,
            stop_timeout_s=row.stop_timeout_s,
        )
        for place, row in enumerate(rows)
    ]


def _command(row: Row, config_file: Path, state: Path, sets: Sequence[str], port: int) -> tuple[str, ...]:
    own = [f"process.state_folder={state}", f"process.instance={row.name}", f"process.health_port={port}"]
    flags = [part for value in (*sets, *own, *row.sets) for part in ("--set", value)]
    return (sys.executable, "-m", row.module, "--config", str(config_file), *flags)


def startable(processes: Sequence[Process], started: set[str], ready: set[str]) -> list[Process]:
    """Return those not yet started whose needs are all ready."""
    return [one for one in processes if one.name not in started and ready.issuperset(one.needs)]


def stop_waves(processes: Sequence[Process]) -> list[list[Process]]:
    """Return the processes in stopping order, wave by wave: nothing stops before what needs it."""
    left = list(processes)
    waves = []
    while left:
        needed = {need for one in left for need in one.needs}
        wave = [one for one in left if one.name not in needed]
        if not wave:
            raise ValueError(f"processes: expected no circle of needs, got one among {[one.name for one in left]}")
        waves.append(wave)
        left = [one for one in left if one not in wave]
    return waves
