"""Obeys the commands on topic `control` that are meant for the stack: pause the broker, kill a process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import msgspec
from kafka.errors import KafkaError

from local_stack.errors import NotRunningError
from local_stack.keeper import Keeper
from local_stack.processes import BROKER
from springtide.contracts.codec import command_decoder
from springtide.contracts.control import AnyCommand, BrokerPause, KillProcess
from springtide.contracts.errors import BrokerError
from springtide.contracts.topics import CONTROL
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer

LONGEST_PAUSE_S = 120.0
"""A longer pause is cut to this: producers give up on messages after two minutes."""

_RETRY_S = 2.0


class Faults:
    """A daemon thread that reads commands from now on and carries them out on the kept processes."""

    def __init__(self, kafka: KafkaConfig, keeper: Keeper, tell: Callable[[str], None]) -> None:
        self._kafka = kafka
        self._keeper = keeper
        self._tell = tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def start(self) -> None:
        """Begin to listen; the broker must answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; a pause under way is ended first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def obey(self, command: AnyCommand) -> None:
        """Carry out one command; those meant for other processes are passed over."""
        if isinstance(command, BrokerPause):
            self._pause(min(command.seconds, LONGEST_PAUSE_S))
        elif isinstance(command, KillProcess):
            self._kill(command.process)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (KafkaError, BrokerError, NotRunningError, OSError) as problem:
                self._tell(f"control: listening again after {type(problem).__name__}: {problem}")
                self._stop.wait(_RETRY_S)

    def _listen(self) -> None:
        consumer = make_consumer(self._kafka, [self._kafka.topic(CONTROL.name)], from_start=False)
        try:
            while not self._stop.is_set():
                for records in consumer.poll(timeout_ms=500).values():
                    for record in records:
                        self._take(record.value)
        finally:
            consumer.close()

    def _take(self, payload: bytes) -> None:
        try:
            command = command_decoder.decode(payload)
        except msgspec.DecodeError as problem:
            self._tell(f"control: expected a command, got {payload[:80]!r} ({problem}); mend its producer")
            return
        self.obey(command)

    def _pause(self, seconds: float) -> None:
        pid = self._pid(BROKER)
        if pid == 0:
            return
        self._tell(f"pausing the broker for {seconds:g} s")
        os.kill(pid, signal.SIGSTOP)
        try:
            self._stop.wait(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        self._tell("the broker goes on")

    def _kill(self, name: str) -> None:
        pid = self._pid(name)
        if pid:
            self._tell(f"kill -9 {name} (process {pid})")
            os.kill(pid, signal.SIGKILL)

    def _pid(self, name: str) -> int:
        known = {one.name: one.pid for one in self._keeper.processes()}
        if not known.get(name):
            self._tell(f"control: expected one of the running {sorted(n for n in known if known[n])}, got {name!r}")
        return known.get(name, 0)
