"""A consumer that commits what was released and nothing else, and reads in batches."""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streaming.shell.failpoints import reach
from streaming.shell.record_batch import RecordBatch

_log = logging.getLogger(__name__)

FETCH_BYTES = 256 * 1024
"""Bytes that end the broker's wait for more records."""


class ReleasedConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer with other commits, other seeks and larger messages."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.confirmed: dict[TP, int] = {}
        """Offset per partition that the broker has, as it said itself: at the last seek, or at a commit since."""
        self.held: set[TP] = set()
        """Partitions that their job wants no more records of, for now."""
        self.unsought: set[TP] = set()
        """Input partitions that were assigned, and since they flow again not yet sent back to what is committed."""

    def _new_consumer_thread(self) -> "BatchingThread":
        return BatchingThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, RecordBatch]]:
        """Fetch, and give each partition's records as one message."""
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_back()
            return
        for tp, records in fetched.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # a rebalance has begun: all of it is read again
            if tp in self.unsought:
                continue  # where reading had come to before: the seek that follows reads from the right place
            if records and (active is None or tp in active or tp in self._buffered_partitions):
                yield tp, RecordBatch(TP(*tp), records, generation)

    async def _seek_back(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # noqa: BLE001 -- as Faust: the rebalance that stopped the flow seeks again
            _log.warning("no seek while the flow was stopped: %r", error)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no account of gaps: they matter only to commits made from acknowledgements."""

    def _new_offset(self, tp: TP) -> int | None:
        offset = self.app.released(tp)
        if offset is not None:  # Faust's own lists would grow for ever
            self._acked[tp] = [acked for acked in self._acked[tp] if acked >= offset]
            self._acked_index[tp] = {acked for acked in self._acked_index[tp] if acked >= offset}
        return offset  # type: ignore[no-any-return]

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return offset > self.confirmed.get(tp, -1)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        reach("committing")
        done = await super()._commit(offsets)
        if done:
            self.confirmed.update(offsets)
            reach("committed")
        return bool(done)

    async def wait_first(self, *waited: Any, **more: Any) -> Any:
        """Hand a message over without four tasks per message, as long as nothing can hold it up.

        Faust waits for "handed over, flow suspended, stopped or crashed" with a task for each.
        """
        if len(waited) == 2 and not more and self._flows():
            handing_over, suspended = waited
            suspended.close()
            await handing_over
            return None
        return await super().wait_first(*waited, **more)

    def _flows(self) -> bool:
        return self.app.flow_control.is_active() and not any(channel.queue.full() for channel in self.app.topics)

    def hold(self, tp: TP) -> None:
        """Read no more of a partition."""
        self.held.add(tp)
        self.pause_partitions([tp])

    def let_go(self, tp: TP) -> None:
        """Read a held partition again."""
        self.held.discard(tp)
        self.resume_partitions([tp])

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Read partitions again, but for those that are held."""
        super().resume_partitions([tp for tp in tps if tp not in self.held])

    def on_buffer_full(self, tp: TP) -> None:
        """Let handing over wait until the agent's queue has room again.

        Faust stops fetching the partition instead, and when it has stopped all of them it sleeps for a second.
        """

    async def seek_to_committed(self) -> Mapping[Any, int | None]:
        """Go back to what is committed; where nothing is, to the beginning.

        Faust leaves a partition without a commit where reading has come to, though a rebalance has just thrown away
        what was read.
        """
        sought = self.unsought - (self._paused_partitions - self.held)
        committed: Mapping[Any, int | None] = await super().seek_to_committed()
        known = {TP(*tp): offset for tp, offset in committed.items() if offset is not None}
        self.confirmed.update({tp: offset for tp, offset in known.items() if not self._is_changelog_tp(tp)})
        fresh = [tp for tp, offset in committed.items() if offset is None and not self._is_changelog_tp(tp)]
        if fresh:
            await self.seek_wait(await self.earliest_offsets(*fresh))
        self.unsought -= sought
        return committed

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Believe no record of a partition before it has been sent back to what is committed.

        After a recovery Faust lets input partitions flow and only then seeks; what was fetched in between comes from
        wherever this worker had been reading before the rebalance.
        """
        self.unsought = {TP(*tp) for tp in assigned if not self._is_changelog_tp(tp)}
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was confirmed for partitions that are now another's."""
        reach("revoking")
        self.held.clear()
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
