"""Prepares a broker's folder and gives the command that runs it."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_stack.broker.config import BrokerConfig
from local_stack.broker.jar_lock import read_lock
from local_stack.broker.jars import Progress, ensure_jars
from local_stack.broker.java import find_java
from local_stack.broker.server_config import render, server_properties
from local_stack.errors import BrokerFailedError, DiskFullError, PortTakenError, from_os_error

_FAST_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xss512k")
"""A small heap needs no concurrent collector, and the first compiler tier starts soonest."""

_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """A command line ready to run."""

    command: list[str]
    """Program and arguments."""

    folder: Path
    """Where the broker keeps its state."""


def prepare(config: BrokerConfig, folder: Path, cache: Path, *, progress: Progress = lambda _: None) -> Launch:
    """Fetch what is missing, format the storage once, and return the broker's command.

    Raises:
        PortTakenError, NoJavaError, ChecksumError, DownloadError, DiskFullError,
        NotWritableError, BrokerFailedError: as their names say.
    """
    _require_free_port(config.port)
    _require_free_port(config.controller_port)
    java = find_java()
    jars = ensure_jars(read_lock(), cache, progress=progress)
    settings = _write_settings(config, folder)
    base = [str(java), f"-Xmx{config.heap_mib}m", *_FAST_START, *_LOGGING, "-cp", _join(jars)]
    if not (folder / "logs" / "meta.properties").exists():
        progress("formatting the storage")
        _format(base, settings)
    return Launch(command=[*base, "kafka.Kafka", str(settings)], folder=folder)


def _require_free_port(port: int) -> None:
    """Raise PortTakenError when another program listens on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            raise PortTakenError(
                f"broker: expected port {port} free, got {problem.strerror}; stop what listens "
                "there (`springtide status`), or choose another port with --set"
            ) from problem


def _write_settings(config: BrokerConfig, folder: Path) -> Path:
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        require_free_disk(folder, config.free_disk_mib)
        path = folder / "server.properties"
        path.write_text(render(server_properties(config, folder / "logs")), encoding="utf-8")
    except OSError as problem:
        raise from_os_error(str(folder), problem) from problem
    return path


def require_free_disk(folder: Path, wanted_mib: int) -> None:
    """Raise DiskFullError when the folder's disk has less room than wanted."""
    free_mib = shutil.disk_usage(folder).free // 2**20
    if free_mib < wanted_mib:
        raise DiskFullError(
            f"{folder}: expected {wanted_mib} MiB free, got {free_mib} MiB; "
            "free some space, or set SPRINGTIDE_STATE or SPRINGTIDE_CACHE to another disk"
        )


def _format(base: Sequence[str], settings: Path) -> None:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # An id that starts with a dash would be read as an option.
    cluster_id = cluster_id.replace("-", "_")
    done = subprocess.run(
        [*base, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(settings)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BrokerFailedError(
            f"{settings}: expected the storage to be formatted, got: "
            f"{(done.stderr or done.stdout).strip()}; run `make clean-state`"
        )


def _join(jars: Sequence[Path]) -> str:
    return ":".join(str(jar) for jar in jars)
