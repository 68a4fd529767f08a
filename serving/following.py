"""A thread that reads whole topics from their start and hands each message on."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from springtide.contracts.errors import ContractError
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer

_log = logging.getLogger(__name__)

POLL_MS = 2_000
"""Longest wall time of a poll without messages; it is also the longest wait for the end."""

Handler = Callable[[bytes, bytes | None], None]
"""Takes a message's key and value; None is a tombstone. A ContractError from it is counted and logged."""


class Follower:
    """Follows small topics; `caught_up` is set once all that was there at the start has been handed on."""

    def __init__(
        self,
        kafka: KafkaConfig,
        topics: Sequence[str],
        handle: Handler,
        *,
        after_poll: Callable[[], None] | None = None,
    ) -> None:
        """Prepare; nothing is read before `start`.

        Args:
            kafka: where.
            topics: names without prefix.
            handle: gets each message, in order per partition.
            after_poll: called after each poll that brought messages, but not before `caught_up`: history is no news.
        """
        self._kafka, self._topics = kafka, [kafka.topic(name) for name in topics]
        self._handle, self._after_poll = handle, after_poll
        self.caught_up = threading.Event()
        self.bad_messages = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {' '.join(topics)}", daemon=True)

    def start(self) -> "Follower":
        """Begin."""
        self._thread.start()
        return self

    def ask_to_stop(self) -> None:
        """Let the thread end after its poll; several followers then end at once."""
        self._stop.set()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        # A long wait costs nothing: the broker answers at once when there is something.
        consumer = make_consumer(self._kafka, self._topics, fetch_max_wait_ms=POLL_MS)
        try:
            ends = consumer.end_offsets(list(consumer.assignment()))
            while not self._stop.is_set():
                records = consumer.poll(timeout_ms=POLL_MS)
                self._hand_on(records)
                if not self.caught_up.is_set() and all(consumer.position(at) >= end for at, end in ends.items()):
                    self.caught_up.set()
                if records and self._after_poll is not None and self.caught_up.is_set():
                    self._after_poll()
        finally:
            consumer.close()

    def _hand_on(self, records: dict[Any, list[Any]]) -> None:
        for partition, batch in records.items():
            for record in batch:
                try:
                    self._handle(record.key, record.value)
                except ContractError as error:
                    self.bad_messages += 1
                    _log.warning("%s offset %d passed over: %s", partition.topic, record.offset, error)
