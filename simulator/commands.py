"""Reads live commands from topic `control`; an offset says what is already obeyed."""

import logging
from typing import Any

import msgspec

from simulator.scenario import Change, from_command
from springtide.contracts.codec import command_decoder
from springtide.contracts.topics import CONTROL
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer

_log = logging.getLogger(__name__)


class Commands:
    """The commands that come while the story runs; older ones are of another run."""

    def __init__(self, kafka: KafkaConfig, offset: int | None) -> None:
        """Begin at `offset`, or at the newest when there is none."""
        self._consumer: Any = make_consumer(kafka, [kafka.topic(CONTROL.name)], from_start=False)
        (self._partition,) = self._consumer.assignment()
        if offset is not None:
            self._consumer.seek(self._partition, offset)
        self.offset: int = self._consumer.position(self._partition)

    def poll(self, now_ms: int) -> list[Change]:
        """Give what was commanded since the last call, to hold from now on."""
        changes = []
        for records in self._consumer.poll(timeout_ms=0).values():
            for record in records:
                self.offset = record.offset + 1
                try:
                    change = from_command(command_decoder.decode(record.value), now_ms)
                except msgspec.DecodeError as error:
                    _log.warning("control: expected a command, got %s; passed over", error)
                    continue
                if change is not None:
                    _log.info("command: %s", change.detail())
                    changes.append(change)
        return changes

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close()
