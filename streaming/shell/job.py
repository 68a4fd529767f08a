"""One job of the process: a pure core per partition, run by the trigger protocol of streaming/core.py."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from springtide.contracts.errors import ExitCode
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import servers
from streaming.core import Core, Record
from streaming.shell.gaps import next_offset
from streaming.shell.hard_exit import hard_exit

_log = logging.getLogger(__name__)

C = TypeVar("C", bound=Core)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSpec(Generic[C]):
    """What a job is."""

    name: str
    """Also its table's name, and so part of its changelog's."""
    topic: str
    """Input topic, without prefix."""
    make: Callable[[int], C]
    """A fresh core for a partition."""
    after_trigger: Callable[[C, float], None]
    """Told after each trigger of its wall seconds from its record to the acknowledged rows."""


class Job(Generic[C]):
    """Runs a job's cores inside one Faust agent; everything here happens in the agent's one task."""

    def __init__(self, spec: JobSpec[C], app: Any, table: Any, kafka: KafkaConfig) -> None:
        self.spec = spec
        self.cores: dict[int, C] = {}
        self.recovered = False
        self.released: dict[int, int] = {}
        """Next offset to read per partition, as far as finished triggers go."""
        self.topic_name = kafka.topic(spec.topic)
        self._app, self._table, self._prefix = app, table, kafka.topic_prefix
        self._servers = servers(kafka)
        self.taken: dict[int, int] = {}
        """Newest offset taken in per partition."""
        self._triggering = asyncio.Lock()

    async def run(self, stream: Any) -> None:
        """Take every record; what goes wrong here is no data error, so it ends the process."""
        async for event in stream.events():
            try:
                await self._take(event.message)
            except Exception as error:  # noqa: BLE001 -- Faust would acknowledge the event and go on
                _log.exception("%s failed", self.spec.name)
                where = f"{event.message.topic}/{event.message.partition}@{event.message.offset}"
                hard_exit(ExitCode.INTERNAL, f"{self.spec.name}: expected to take {where}, got {error!r}")

    async def forget(self) -> None:
        """Drop the cores: after any change of assignment they begin again from the recovered table."""
        async with self._triggering:
            self.cores.clear()
            self.released.clear()
            self.taken.clear()
            self.recovered = False

    async def _take(self, message: Any) -> None:
        core = self.cores.get(message.partition) or self._begin(message.partition)
        await self._check_order(core, message)
        if core.merge(Record(message.offset, message.key or b"", message.value or b"")):
            async with self._triggering:
                await self._trigger(core, message)

    async def _check_order(self, core: C, message: Any) -> None:
        """End the process when Faust has left records out: the next one reads them."""
        partition, offset = message.partition, message.offset
        expected = self.taken.get(partition, core.applied) + 1
        if offset > expected:
            there = await next_offset(self._servers, message.topic, partition, expected)
            if there < offset:
                where = f"{message.topic}/{partition}"
                hard_exit(ExitCode.RECOVERY, f"{where}: expected record {there}, got {offset}: some were left out")
            _log.warning("%s/%d holds no record from %d to %d", message.topic, partition, expected, offset - 1)
        self.taken[partition] = offset

    def _begin(self, partition: int) -> C:
        if not self.recovered:
            hard_exit(ExitCode.RECOVERY, f"{self.spec.name}: expected a recovered table, got a record before it")
        core = self.spec.make(partition)
        prefix = f"{partition}/".encode()
        core.restore({key: value for key, value in self._table.data.items() if key.startswith(prefix)})
        self.cores[partition] = core
        _log.info("%s goes on with partition %d after offset %d", self.spec.name, partition, core.applied)
        return core

    async def _trigger(self, core: C, message: Any) -> None:
        started, producer = time.monotonic(), self._app.producer
        for out in core.collect():
            await producer.send(self._prefix + out.topic, out.key, out.value, out.partition, None, None)
        await producer.flush()
        acknowledged = time.monotonic() - started
        for write in core.settle(message.offset):
            if write.value is not None:
                self._table[write.key] = write.value
            elif write.key in self._table.data:
                del self._table[write.key]
        await producer.flush()
        self.released[message.partition] = message.offset + 1
        self.spec.after_trigger(core, acknowledged)
