"""The exposure log: every slate is on topic `events` before it is answered, or as soon as the broker is back."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from serving.gateway import metrics

_log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""Wall time before an event that the producer gave up is handed to it again."""


class Producer(Protocol):
    """What is needed of an aiokafka producer: on this event loop it costs a third of a kafka-python one beside it."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Send what is left and disconnect."""
        ...

    async def send(self, topic: str, value: bytes, key: bytes) -> Awaitable[Any]:
        """Take a record; blocks while the buffer is full. The result is done once the broker has acknowledged."""
        ...


Entry = tuple[bytes, bytes, "asyncio.Future[None]"]


class ExposureLog:
    """Writes `served` events in the order in which they come; belongs to one event loop.

    An answer waits `wait_seconds` for the acknowledgement and then leaves without it: a shop must not wait for a
    broker. The event stays here or with the producer, which retries; if it gives up, the event is handed to it again.
    """

    def __init__(self, make_producer: Callable[[], Producer], topic: str, *, wait_seconds: float, backlog: int) -> None:
        self._make_producer, self._topic = make_producer, topic
        self._wait, self._backlog = wait_seconds, backlog
        self._producer: Producer | None = None
        self._queue: asyncio.Queue[Entry] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._open = 0

    @property
    def open(self) -> int:
        """Events not yet acknowledged."""
        return self._open

    async def start(self) -> None:
        """Connect, on the event loop that will write."""
        self._producer = self._make_producer()
        await self._producer.start()
        self._writer = asyncio.create_task(self._work(self._producer))

    async def stop(self, seconds: float) -> None:
        """Wait a while for what is open, then disconnect."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._open and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        if self._open:
            _log.error(
                "events: expected every exposure acknowledged at the end, got %d open; they are lost", self._open
            )
            metrics.EXPOSURES_DROPPED.inc(self._open)
        if self._writer is not None:
            self._writer.cancel()
        if self._producer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._producer.stop(), seconds)

    async def write(self, key: bytes, value: bytes) -> bool:
        """Log one event; true: the broker has it, false: it will, unless the backlog is full."""
        if self._open >= self._backlog:
            metrics.EXPOSURES_DROPPED.inc()
            return False
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count(1)
        self._queue.put_nowait((key, value, acknowledged))
        done, _ = await asyncio.wait((acknowledged,), timeout=self._wait)
        if not done:
            metrics.EXPOSURES_UNACKED.inc()
        return bool(done)

    def _count(self, change: int) -> None:
        self._open += change
        metrics.EXPOSURES_OPEN.set(self._open)

    async def _work(self, producer: Producer) -> None:
        while True:
            entry = await self._queue.get()
            try:
                sent = asyncio.ensure_future(await producer.send(self._topic, value=entry[1], key=entry[0]))
            except Exception as error:  # noqa: BLE001 -- whatever the client raises: the event is kept
                self._again(entry, error)
            else:
                sent.add_done_callback(lambda done, entry=entry: self._finish(entry, done))  # type: ignore[misc]

    def _finish(self, entry: Entry, done: "asyncio.Future[Any]") -> None:
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self._again(entry, error)
            return
        self._count(-1)
        metrics.EXPOSURES.inc()
        if not entry[2].done():
            entry[2].set_result(None)

    def _again(self, entry: Entry, error: BaseException) -> None:
        metrics.EXPOSURES_RETRIED.inc()
        _log.warning("events: expected an acknowledgement, got %s: %s; sending again", type(error).__name__, error)
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._queue.put_nowait, entry)
