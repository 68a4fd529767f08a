"""The exposure log: every slate is on topic `events` before it is answered, or as soon as the broker is back."""

import asyncio
import logging
from typing import Any

from serving.gateway import metrics

_log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class ExposureLog:
    """Writes `served` events; belongs to one event loop, the producer calls back from its own thread.

    An answer waits `wait_seconds` for the acknowledgement and then leaves without it: a shop must not wait for a
    broker. The event stays with the producer, which retries; if it gives up, the event is handed to it again.
    """

    def __init__(self, producer: Any, topic: str, *, wait_seconds: float, backlog: int) -> None:
        self._producer, self._topic = producer, topic
        self._wait, self._backlog = wait_seconds, backlog
        self._open = 0

    @property
    def open(self) -> int:
        """Events not yet acknowledged."""
        return self._open

    async def write(self, key: bytes, value: bytes) -> bool:
        """Log one event; true: the broker has it, false: it will, unless the backlog is full."""
        if self._open >= self._backlog:
            metrics.EXPOSURES_DROPPED.inc()
            return False
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count(1)
        self._send(key, value, acknowledged)
        done, _ = await asyncio.wait((acknowledged,), timeout=self._wait)
        if not done:
            metrics.EXPOSURES_UNACKED.inc()
        return bool(done)

    def _count(self, change: int) -> None:
        self._open += change
        metrics.EXPOSURES_OPEN.set(self._open)

    def _send(self, key: bytes, value: bytes, acknowledged: "asyncio.Future[None]") -> None:
        loop = acknowledged.get_loop()

        def on_success(_: Any) -> None:
            loop.call_soon_threadsafe(self._on_success, acknowledged)

        def on_failure(error: BaseException) -> None:
            loop.call_soon_threadsafe(self._on_failure, key, value, acknowledged, error)

        # The topic's metadata is known since the start and the record buffer has no bound: this does not block.
        sent = self._producer.send(self._topic, key=key, value=value)
        sent.add_callback(on_success)
        sent.add_errback(on_failure)

    def _on_success(self, acknowledged: "asyncio.Future[None]") -> None:
        self._count(-1)
        metrics.EXPOSURES.inc()
        if not acknowledged.done():
            acknowledged.set_result(None)

    def _on_failure(self, key: bytes, value: bytes, acknowledged: "asyncio.Future[None]", error: BaseException) -> None:
        metrics.EXPOSURES_RETRIED.inc()
        _log.warning("events: expected an acknowledgement, got %s: %s; sending again", type(error).__name__, error)
        acknowledged.get_loop().call_later(RETRY_SECONDS, self._send, key, value, acknowledged)
