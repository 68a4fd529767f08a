"""Tells of bundles on topic `model-updates`, and of what could not be used on `dead-letter`."""

from collections.abc import Sequence
from typing import Any

from kafka.errors import KafkaError

from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.codec import encode
from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.errors import DeliveryError
from springtide.contracts.topics import DEAD_LETTER, MODEL_UPDATES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer


class Announcer:
    """A producer that waits for each acknowledgement."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._producer: Any = make_producer(kafka)

    def announce(self, update: ModelUpdate) -> None:
        """Send one update; raises DeliveryError when it was not acknowledged."""
        self._send(MODEL_UPDATES.name, update.chain.encode(), encode(update))

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Send dead letters; raises DeliveryError when one was not acknowledged."""
        for letter in letters:
            self._send(DEAD_LETTER.name, letter.key, encode(letter))

    def close(self) -> None:
        """Disconnect."""
        self._producer.close(timeout=5)

    def _send(self, topic: str, key: bytes, value: bytes) -> None:
        try:
            self._producer.send(self._kafka.topic(topic), key=key, value=value).get(timeout=60)
        except KafkaError as error:
            raise DeliveryError(f"{topic}: expected an acknowledgement, got {error}; see the broker") from error
