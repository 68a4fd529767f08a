"""What one run consists of: settings, folders and the table of processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.config import LocalStackConfig
from local_stack.folders import cache_folder, state_folder
from local_stack.processes import TABLE, Process, Row, process_table
from springtide.runtime.config import KafkaConfig, ProcessConfig
from springtide.runtime.settings import apply_overrides, build_sections, read_profile

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One run of the embedded stack."""

    state: Path
    """Folder of everything that the run keeps."""

    cache: Path
    """Folder of fetched jars."""

    workdir: Path
    """Folder that the processes run in."""

    config_file: Path
    """The settings profile, absolute."""

    sets: tuple[str, ...]
    """`section.key=value` overrides on top of it."""

    processes: list[Process]
    """In starting order."""

    process: ProcessConfig
    """Section `process`."""

    kafka: KafkaConfig
    """Section `kafka`."""

    local_stack: LocalStackConfig
    """Section `local_stack`."""

    values: Mapping[str, Mapping[str, Any]]
    """Every section as read, for what belongs to other processes."""

    @property
    def run_id(self) -> str:
        """The mark that every process of this run carries: one state folder, one run."""
        return str(self.state)

    def value(self, section: str, key: str, default: Any) -> Any:
        """Return another process's setting as the profile gives it, or `default` where it is silent."""
        return self.values.get(section, {}).get(key, default)


def make_plan(
    config_file: Path,
    sets: Sequence[str],
    environ: Mapping[str, str],
    *,
    rows: Iterable[Row] = TABLE,
    workdir: Path = CHECKOUT,
) -> Plan:
    """Read the settings and lay out the run.

    Raises:
        ConfigError: the settings break one or more rules.
    """
    values = apply_overrides(read_profile(config_file), environ, sets)
    kinds = {"process": ProcessConfig, "kafka": KafkaConfig, "local_stack": LocalStackConfig}
    sections = build_sections(values, kinds)
    state = state_folder(environ)
    local_stack: LocalStackConfig = sections["local_stack"]
    return Plan(
        state=state,
        cache=cache_folder(environ),
        workdir=workdir,
        config_file=config_file.absolute(),
        sets=tuple(sets),
        processes=process_table(config_file.absolute(), state, sets, local_stack.health_port_base, rows),
        process=sections["process"],
        kafka=sections["kafka"],
        local_stack=local_stack,
        values=values,
    )
