"""Faust's Kafka transport with four promises that it does not make by itself.

Faust 0.15.3 may commit an offset whose output was never delivered: its flush gives up after 0.1 s, failed sends are
only logged, an exception in an agent acknowledges the event, and a gap at the head of the acknowledged offsets is
jumped over (reference: reading of its source, and upstream reports 606, 596, 692, 707). Here

- `flush` waits until the broker has everything that was handed over, table changes included;
- a message that cannot be delivered ends the process at once;
- the offset to commit is not deduced from acknowledgements: it is what a finished trigger has released;
- after a rebalance a partition without a commit is read again from its beginning.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import ProducerBuffer
from faust.types import TP

from springtide.contracts.errors import ExitCode
from streaming.shell.hard_exit import hard_exit

_log = logging.getLogger(__name__)

FETCH_BYTES = 256 * 1024
"""Bytes that end the broker's wait for more records."""


class CountingBuffer(ProducerBuffer):  # type: ignore[misc]
    """The queue of table changes; it counts a change until it is on its way."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.outstanding = Outstanding()

    def put(self, fut: Any) -> None:
        """Queue one change."""
        self.outstanding.add()
        super().put(fut)

    async def _send_pending(self, fut: Any) -> None:
        try:
            await super()._send_pending(fut)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the change is not on its way
            hard_exit(ExitCode.DELIVERY, f"changelog: expected a change to be sent, got {error!r}")
        finally:
            self.outstanding.remove()


class Outstanding:
    """Messages handed over and not yet acknowledged."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    def add(self) -> None:
        """Count one more."""
        self.count += 1
        self._none.clear()

    def remove(self) -> None:
        """Count one less."""
        self.count -= 1
        if self.count == 0:
            self._none.set()

    async def wait_for_none(self) -> None:
        """Wait until there is none."""
        await self._none.wait()


class StrictProducer(driver.Producer):  # type: ignore[misc]
    """A producer whose flush is one."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.buffer = CountingBuffer(loop=self.loop, beacon=self.beacon)
        self.buffer.app = self.app
        self.outstanding: Outstanding = self.buffer.outstanding

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send(self, *arguments: Any, **more: Any) -> Awaitable[Any]:
        """Hand one message over; its failure ends the process."""
        self.outstanding.add()
        try:
            future = await super().send(*arguments, **more)
        except BaseException:
            self.outstanding.remove()
            raise
        future.add_done_callback(self._on_done)
        return future  # type: ignore[no-any-return]

    def _on_done(self, future: Any) -> None:
        if future.cancelled() or future.exception() is not None:
            reason = "cancelled" if future.cancelled() else repr(future.exception())
            hard_exit(ExitCode.DELIVERY, f"kafka: expected a message to be acknowledged, got {reason}")
        self.outstanding.remove()

    async def flush(self) -> None:
        """Wait until every message handed over is acknowledged by the broker."""
        await self.outstanding.wait_for_none()


class ReleasedConsumer(driver.Consumer):  # type: ignore[misc]
    """A consumer that commits what was released, and nothing else."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.confirmed: dict[TP, int] = {}
        """Offset per partition that the broker has really taken."""

    def _new_consumer_thread(self) -> "BatchingThread":
        return BatchingThread(self, loop=self.loop, beacon=self.beacon)

    def _new_offset(self, tp: TP) -> int | None:
        offset = self.app.released(tp)
        if offset is not None:  # Faust's own lists would grow for ever
            self._acked[tp] = [acked for acked in self._acked[tp] if acked >= offset]
            self._acked_index[tp] = {acked for acked in self._acked_index[tp] if acked >= offset}
        return offset  # type: ignore[no-any-return]

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return offset > self.confirmed.get(tp, -1)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = await super()._commit(offsets)
        if done:
            self.confirmed.update(offsets)
        return bool(done)

    async def wait_first(self, *waited: Any, **more: Any) -> Any:
        """Hand a record over without four tasks per record, as long as nothing can hold it up.

        Faust waits for "handed over, flow suspended, stopped or crashed" with a task for each; a sixth of the time.
        """
        if len(waited) == 2 and not more and self._flows():
            handing_over, suspended = waited
            suspended.close()
            await handing_over
            return None
        return await super().wait_first(*waited, **more)

    def _flows(self) -> bool:
        buffer = self.app.producer.buffer
        flowing = self.app.flow_control.is_active() and buffer.size <= buffer.max_messages
        return bool(flowing) and not any(channel.queue.full() for channel in self.app.topics)

    async def seek_to_committed(self) -> Mapping[Any, int | None]:
        """Go back to what is committed; where nothing is, to the beginning.

        Faust leaves a partition without a commit where reading has come to, though a rebalance has just thrown away
        what was read.
        """
        committed: Mapping[Any, int | None] = await super().seek_to_committed()
        fresh = [tp for tp, offset in committed.items() if offset is None and not self._is_changelog_tp(tp)]
        if fresh:
            await self.seek_wait(await self.earliest_offsets(*fresh))
        return committed

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was confirmed for partitions that are now another's."""
        for tp in revoked:
            self.confirmed.pop(tp, None)
        await super().on_partitions_revoked(revoked)


class BatchingThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread, with a broker that waits a moment for more records.

    Faust asks for every record as soon as it is there, and each answer crosses two threads: at a few hundred records
    a second that is the larger part of the work. Its settings know no other way.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = FETCH_BYTES  # noqa: SLF001 -- read when the consumer starts
        consumer._fetch_max_wait_ms = self.app.fetch_wait_ms  # noqa: SLF001
        return consumer


class StrictTransport(driver.Transport):  # type: ignore[misc]
    """Makes the two above."""

    Producer = StrictProducer
    Consumer = ReleasedConsumer
