"""Writes supervisord's configuration from the table of processes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from local_stack.folders import LOG_FOLDER
from local_stack.processes import Process
from springtide.contracts.errors import ExitCode

SOCKET = "supervisor.sock"
LOG = "supervisord.log"
PID = "supervisord.pid"

_LONGEST_SOCKET_PATH = 90
"""Unix sockets take 107 characters; supervisord binds beside it under a longer name first."""

FINAL_EXITS = (
    ExitCode.OK,
    ExitCode.CONFIG,
    ExitCode.PORT_TAKEN,
    ExitCode.NO_JAVA,
    ExitCode.CHECKSUM,
    ExitCode.DISK_FULL,
    ExitCode.STATE_UNWRITABLE,
    ExitCode.CHANGELOG_POLICY,
    ExitCode.CHANGELOG_FORMAT,
)
"""Ends that another try cannot change: they are not restarted."""


def socket_path(state: Path) -> Path:
    """Return where supervisord listens: in the state folder unless its path is too long for a socket."""
    path = state / SOCKET
    if len(str(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(state).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"springtide-{digest}.sock"


def render_conf(processes: Iterable[Process], state: Path, workdir: Path) -> str:
    """Return the text of the configuration.

    A process that ends within 3 s is tried again after 1, 2, 3... s and given up after 10 tries;
    one that ends later is started again at once.

    Args:
        processes: in starting order; supervisord itself starts none of them.
        state: the state folder.
        workdir: the folder that the processes run in.
    """
    logs = state / LOG_FOLDER
    socket = socket_path(state)
    head = f"""[supervisord]
nodaemon=true
logfile={_escape(logs / LOG)}
logfile_maxbytes=0
pidfile={_escape(state / PID)}
childlogdir={_escape(logs)}
silent=true

[unix_http_server]
file={_escape(socket)}
chmod=0600

[supervisorctl]
serverurl=unix://{_escape(socket)}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    return head + "".join(_section(one, place, logs, workdir) for place, one in enumerate(processes))


def _section(one: Process, place: int, logs: Path, workdir: Path) -> str:
    environment = ",".join(f'{key}="{_escape(value)}"' for key, value in one.environment.items())
    return f"""
[program:{one.name}]
command={_escape(one.command_line())}
directory={_escape(workdir)}
priority={place}
autostart=false
autorestart=unexpected
exitcodes={",".join(str(int(code)) for code in FINAL_EXITS)}
startsecs=3
startretries=10
stopsignal=TERM
stopwaitsecs={one.stop_timeout_s}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={_escape(logs / (one.name + ".log"))}
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=1
environment={environment}
"""


def _escape(value: str | Path) -> str:
    return str(value).replace("%", "%%")
