"""A broker as a child process: what the integration tests use."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from local_stack.broker.config import BrokerConfig
from local_stack.broker.jars import Progress
from local_stack.broker.launch import prepare
from local_stack.broker.topics import is_answering
from local_stack.errors import BrokerFailedError

_STOP_TIMEOUT_S = 20.0
_PR_SET_PDEATHSIG = 1


class LocalBroker:
    """Starts on `with`, stops at its end; dies with the process that started it.

    Args:
        folder: the broker's state; kept after the stop, so a second start goes on from it.
        cache: where fetched jars are kept between runs.
        config: ports and sizes; free ports are chosen when it is None.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path,
        *,
        config: BrokerConfig | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self.config = config or config_on_free_ports()
        self._folder = folder
        self._cache = cache
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for Kafka clients."""
        return f"127.0.0.1:{self.config.port}"

    @property
    def log_file(self) -> Path:
        """Where the broker writes what it has to say."""
        return self._folder / "broker.log"

    @property
    def pid(self) -> int:
        """The Java process's id."""
        return self._running().pid

    def start(self) -> None:
        """Start the broker and return when it answers.

        Raises:
            StackError: one of prepare()'s, or BrokerFailedError when it ends or stays silent.
        """
        launch = prepare(self.config, self._folder, self._cache, progress=self._progress)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # the child runs one system call before its exec
                launch.command,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Stop the broker and wait until it is gone."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the broker without a chance to tidy up, as a crash does."""
        self._running().kill()
        self._running().wait()
        self._process = None

    def pause(self) -> None:
        """Freeze the broker; its connections stay open and silent."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on."""
        self._running().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BrokerFailedError("broker: expected it running, got it stopped; call start()")
        return self._process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.config.ready_timeout_s
        while not is_answering(self.bootstrap):
            if process.poll() is not None:
                raise BrokerFailedError(
                    f"broker: expected it running, got exit {process.returncode}; "
                    f"read {self.log_file}:\n{_tail(self.log_file)}"
                )
            if time.monotonic() > deadline:
                raise BrokerFailedError(
                    f"broker: expected an answer within {self.config.ready_timeout_s} s, got none; read {self.log_file}"
                )
            time.sleep(0.05)


def config_on_free_ports() -> BrokerConfig:
    """Return a configuration on two ports that are free now."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return BrokerConfig(port=first.getsockname()[1], controller_port=second.getsockname()[1])


def _die_with_parent() -> None:
    """Ask Linux to end this child when its parent ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _tail(path: Path, lines: int = 12) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
