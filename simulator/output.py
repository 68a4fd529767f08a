"""Sends a step's messages to Kafka and waits until each is acknowledged."""

from collections.abc import Iterable
from typing import Any

from kafka.errors import KafkaError

from simulator.telling import PRODUCER
from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.codec import encode
from springtide.contracts.control import Ramp
from springtide.contracts.errors import DeliveryError
from springtide.contracts.events import AnyEvent, Tick
from springtide.contracts.topics import CATALOGUE, CONTROL, EVENTS, TRUTH
from springtide.contracts.truth import AnyTruth, TruthSlate
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer


class Output:
    """The simulator's producer."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._producer: Any = make_producer(kafka, linger_ms=2)
        self._sent: list[Any] = []

    def events(self, events: Iterable[AnyEvent]) -> None:
        """Send events in the order given; users keep to their partitions."""
        topic = self._kafka.topic(EVENTS.name)
        for event in events:
            self._send(topic, event.user_id.encode(), encode(event))

    def ticks(self, time_ms: int) -> None:
        """Tell every partition that event time has come so far."""
        topic = self._kafka.topic(EVENTS.name)
        for partition in range(self._kafka.partitions):
            tick = Tick(
                event_id=f"tick-{partition}-{time_ms}", user_id="", event_time_ms=time_ms, producer=PRODUCER,
                partition=partition,
            )  # fmt: skip
            self._send(topic, b"", encode(tick), partition=partition)

    def catalogue(self, items: Iterable[CatalogueItem]) -> None:
        """Send items' newest states."""
        for item in items:
            self._send(self._kafka.topic(CATALOGUE.name), item.item_id.encode(), encode(item))

    def truths(self, truths: Iterable[AnyTruth]) -> None:
        """Send the truth, which nothing that learns may read."""
        for truth in truths:
            key = truth.request_id if isinstance(truth, TruthSlate) else getattr(truth, "event_id", truth.kind)
            self._send(self._kafka.topic(TRUTH.name), key.encode(), encode(truth))

    def commands(self, commands: Iterable[Ramp]) -> None:
        """Send a scenario's commands to other processes."""
        for command in commands:
            self._send(self._kafka.topic(CONTROL.name), None, encode(command))

    def _send(self, topic: str, key: bytes | None, value: bytes, partition: int | None = None) -> None:
        self._sent.append(self._producer.send(topic, key=key, value=value, partition=partition))

    def flush(self) -> None:
        """Wait for every acknowledgement.

        Raises:
            DeliveryError: a message was refused.
        """
        sent, self._sent = self._sent, []
        try:
            self._producer.flush()
            for future in sent:
                future.get(timeout=0)
        except KafkaError as error:
            raise DeliveryError(
                f"kafka: expected every message to be acknowledged, got {type(error).__name__} {error}; "
                "the story goes on from its last step when the process starts again"
            ) from error

    def close(self) -> None:
        """Let the connections go."""
        self._producer.close(timeout=5)
