"""One job of the process: a pure core per partition, run by the trigger protocol of streaming/core.py."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from faust.types import TP

from springtide.contracts.errors import ExitCode
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import servers
from streaming.core import Core, Record, merge_until_trigger
from streaming.shell.failpoints import reach
from streaming.shell.gaps import next_offset
from streaming.shell.hard_exit import hard_exit
from streaming.shell.lanes import Lane
from streaming.shell.record_batch import RecordBatch
from streaming.state_format import FormatError

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
    """Runs a job's cores inside one Faust agent, each in a lane of its own."""

    def __init__(self, spec: JobSpec[C], app: Any, table: Any, kafka: KafkaConfig) -> None:
        self.spec = spec
        self.cores: dict[int, C] = {}
        self.recovered = False
        self.released: dict[int, int] = {}
        """Next offset to read per partition, as far as finished triggers go."""
        self.topic_name = kafka.topic(spec.topic)
        self.table = table
        self._app, self._prefix = app, kafka.topic_prefix
        self._servers = servers(kafka)
        self.taken: dict[int, int] = {}
        """Newest offset taken in per partition."""
        self.newest_timestamp: dict[int, float] = {}
        """Kafka timestamp of the newest batch taken in per partition, seconds."""
        self.recovery_seconds: float | None = None
        """Wall time of the last recovery, from the loss of what was assigned before until state was whole."""
        self._lost_at = time.monotonic()
        self._lost_generation: int | None = None
        """Generation of the consumer group whose assignment was lost last."""
        self._lanes: dict[int, Lane] = {}
        self._triggering: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self, stream: Any) -> None:
        """Hand every batch to its partition's lane."""
        try:
            async for event in stream.events():
                batch: RecordBatch = event.message
                if batch.partition not in self._lanes:
                    self._lanes[batch.partition] = Lane(self._take_or_end)
                await self._lanes[batch.partition].put(batch)
        finally:
            self._close_lanes()

    async def forget(self) -> None:
        """Drop the cores: after any change of assignment they begin again from the recovered table."""
        self._lost_generation = self._app.consumer_generation_id
        for lock in self._triggering.values():
            await lock.acquire()  # a trigger under way ends first, and none begins
        self._close_lanes()
        self._triggering.clear()
        self.cores.clear()
        self.released.clear()
        self.taken.clear()
        self.newest_timestamp.clear()
        self.recovered, self._lost_at = False, time.monotonic()

    async def begin(self, partitions: Sequence[int], generation: int) -> None:
        """Begin the cores of a generation's partitions from their recovered entries, and take records from now on.

        The next rebalance may overtake the end of a recovery. Then nothing may be begun: `take` empties the store,
        which by then may hold the first part of what the next recovery reads.
        """
        for partition in partitions:
            if self._overtaken(generation):
                return
            self._begin(partition)
            await asyncio.sleep(0)  # a large partition takes seconds; in between others may have their turn
        if not self._overtaken(generation):
            self.recovered, self.recovery_seconds = True, time.monotonic() - self._lost_at

    def _overtaken(self, generation: int) -> bool:
        return generation == self._lost_generation or generation != self._app.consumer_generation_id

    def _close_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()

    async def _take_or_end(self, batch: RecordBatch) -> None:
        """Take a batch; what goes wrong here is no data error, so it ends the process."""
        try:
            await self._take(batch)
        except Exception as error:  # noqa: BLE001 -- the task would end, and the partition stand still
            _log.exception("%s failed", self.spec.name)
            where = f"{batch.topic}/{batch.partition}@{self.taken.get(batch.partition)}"
            hard_exit(ExitCode.INTERNAL, f"{self.spec.name}: expected to take {where}, got {error!r}")

    def over_budget(self) -> list[int]:
        """List the partitions that hold more than they may, and are read no further."""
        return [partition for partition, core in sorted(self.cores.items()) if core.over_budget]

    def heed_budget(self) -> None:
        """Hold the partitions that are over their budget, and let the others go."""
        over = set(self.over_budget())
        for partition in self.cores:
            tp = TP(self.topic_name, partition)
            if partition in over and tp not in self._app.consumer.held:
                _log.warning("%s/%d holds more than its budget; it is read no further", *tp)
                self._app.consumer.hold(tp)
            elif partition not in over and tp in self._app.consumer.held:
                self._app.consumer.let_go(tp)

    async def _take(self, batch: RecordBatch) -> None:
        partition = batch.partition
        core = self._core(partition)
        await self._check_order(core, batch)
        records = self._records(batch)
        while (trigger := merge_until_trigger(core, records)) is not None:
            self.taken[partition] = trigger.offset
            async with self._triggering[partition]:
                await self._trigger(core, partition, trigger.offset)
        self.taken[partition], self.newest_timestamp[partition] = batch.offset, batch.timestamp
        self._app.record_times.add(self.spec.topic, batch.records, 1000 * time.time())
        self.heed_budget()

    @staticmethod
    def _records(batch: RecordBatch) -> Iterator[Record]:
        for record in batch.records:
            reach("merging")
            yield Record(record.offset, record.key or b"", record.value or b"")

    async def _check_order(self, core: C, batch: RecordBatch) -> None:
        """End the process when Faust has left records out: the next one reads them."""
        expected = self.taken.get(batch.partition, core.applied) + 1
        if batch.records[0].offset <= expected and batch.offset - batch.records[0].offset == len(batch.records) - 1:
            return
        for record in batch.records:
            if record.offset > expected:
                await self._look_into_gap(batch.tp, expected, record.offset)
            expected = record.offset + 1

    async def _look_into_gap(self, tp: TP, expected: int, offset: int) -> None:
        there = await next_offset(self._servers, tp.topic, tp.partition, expected)
        if there < offset:
            hard_exit(
                ExitCode.RECOVERY,
                f"{tp.topic}/{tp.partition}: expected record {there}, got {offset}: some were left out",
            )
        _log.warning("%s/%d holds no record from %d to %d", tp.topic, tp.partition, expected, offset - 1)

    def _begin(self, partition: int) -> None:
        core = self.spec.make(partition)
        try:
            core.restore(self.table.data.take(partition))
        except FormatError as error:
            hard_exit(error.exit_code, f"{self.table.changelog_topic_name}/{partition}: {error}")
        except Exception as error:  # noqa: BLE001 -- Faust would log it, and go on without this state
            _log.exception("%s failed", self.spec.name)
            hard_exit(ExitCode.INTERNAL, f"{self.spec.name}: expected to restore partition {partition}, got {error!r}")
        reach("recovered")
        self.cores[partition] = core
        _log.info("%s goes on with partition %d after offset %d", self.spec.name, partition, core.applied)

    def _core(self, partition: int) -> C:
        """Find the core of a record's partition, and release what it had finished before.

        Not earlier: its commit may have been lost, and Faust makes none before a record has come.
        """
        core = self.cores.get(partition)
        if core is None:
            hard_exit(ExitCode.RECOVERY, f"{self.spec.name}: expected a recovered table, got a record before it")
        if core.applied >= 0:
            self.released.setdefault(partition, core.applied + 1)
        return core

    async def _trigger(self, core: C, partition: int, offset: int) -> None:
        """Do the three steps of streaming/core.py."""
        started, producer = time.monotonic(), self._app.producer
        await producer.deliver(core.collect(), self._prefix)
        acknowledged = time.monotonic() - started
        reach("rows-acknowledged")
        pairs = [(write.key, write.value) for write in core.settle(offset)]
        reach("settled")
        last = await producer.append(self.table.changelog_topic_name, partition, pairs)
        reach("changelog-acknowledged")
        self.table.data.written(partition, pairs, last)
        self.released[partition] = offset + 1
        reach("released")
        self.spec.after_trigger(core, acknowledged)
