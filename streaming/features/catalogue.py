"""Category and price of every item, kept up to date by a thread that reads topic `catalogue`."""

import logging
import threading

import msgspec
from kafka.errors import KafkaError

from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.topics import CATALOGUE
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer

_log = logging.getLogger(__name__)


class CatalogueReader:
    """Answers from memory. A click on an item that is not known (yet) counts, but for no category and no price."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._items: dict[str, tuple[str, float]] = {}
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catalogue", daemon=True)
        self.unreadable = 0

    def start(self) -> None:
        """Begin, and return once everything that the topic held is read, or `kafka.ready_timeout` has passed."""
        self._thread.start()
        if not self._caught_up.wait(self._kafka.ready_timeout.total_seconds()):
            _log.warning("catalogue not read within %s; going on without its rest", self._kafka.ready_timeout)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5)

    def get(self, item_id: str) -> tuple[str, float] | None:
        """Give category and price."""
        return self._items.get(item_id)

    def _run(self) -> None:
        consumer = make_consumer(self._kafka, [self._kafka.topic(CATALOGUE.name)])
        try:
            ends = consumer.end_offsets(list(consumer.assignment()))
            while not self._stop.is_set():
                try:
                    polled = consumer.poll(timeout_ms=500)
                except KafkaError as error:
                    _log.warning("catalogue: %s; trying again", error)
                    self._stop.wait(1.0)
                    continue
                for records in polled.values():
                    for record in records:
                        self._take(record.value)
                if not self._caught_up.is_set() and all(consumer.position(tp) >= end for tp, end in ends.items()):
                    self._caught_up.set()
        finally:
            consumer.close()

    def _take(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            item = msgspec.json.decode(value, type=CatalogueItem)
        except msgspec.DecodeError:
            self.unreadable += 1
            return
        self._items[item.item_id] = (item.category, item.price)
