"""One task per partition, so that one partition goes on while another waits for the broker.

Faust gives an agent one message after the other. At a trigger most of the time is waiting for acknowledgements; with
a lane for each partition that time belongs to the others. Within a partition nothing changes: its batches are taken
in order, and its triggers one at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from streaming.shell.record_batch import RecordBatch

WAITING: Final = 2
"""Batches that may wait in a lane; the agent waits with a further one."""


class Lane:
    """The batches of one partition, taken one after the other."""

    def __init__(self, take: Callable[[RecordBatch], Awaitable[None]]) -> None:
        self._take = take
        self._queue: asyncio.Queue[RecordBatch] = asyncio.Queue(WAITING)
        self._task = asyncio.ensure_future(self._run())

    async def put(self, batch: RecordBatch) -> None:
        """Queue a batch; waits while the lane is full."""
        await self._queue.put(batch)

    def close(self) -> None:
        """Take no more; what is queued is dropped, what runs is broken off at its next wait."""
        self._task.cancel()
        while not self._queue.empty():  # so that whoever waits to put one goes on
            self._queue.get_nowait()

    async def _run(self) -> None:
        while True:
            await self._take(await self._queue.get())
