"""What a joiner has to say at its next trigger: rows and dead letters."""

from springtide.contracts.codec import encode
from springtide.contracts.dead_letter import DeadLetter, Reason
from springtide.contracts.topics import DEAD_LETTER, EVENTS, SAMPLES
from streaming.core import Message, Record
from streaming.joiner.ledger import Ledger
from streaming.joiner.rows import Row

LARGEST_VALUE = 256 * 1024
"""Bytes of an original record that a dead letter keeps: in base64 it must still fit into a message."""


class Outbox:
    """Collects messages and counts them."""

    def __init__(self, partition: int, ledger: Ledger) -> None:
        self._partition, self._ledger = partition, ledger
        self._messages: list[Message] = []

    def add_row(self, row: Row) -> None:
        """Say a row, into the partition of its events: a partition of rows then follows one watermark."""
        self._ledger.rows[row.phase] += 1
        self._messages.append(Message(SAMPLES.name, row.key, row.value, self._partition))

    def reject(self, reason: Reason, detail: str, record: Record) -> None:
        """Put a record to the dead letters."""
        self._ledger.dead_letters[reason] += 1
        if len(record.value) > LARGEST_VALUE:
            detail += f" (value cut from {len(record.value)} bytes)"
        letter = DeadLetter(
            reason=reason,
            detail=detail,
            topic=EVENTS.name,
            partition=self._partition,
            offset=record.offset,
            key=record.key,
            value=record.value[:LARGEST_VALUE],
        )
        self._messages.append(Message(DEAD_LETTER.name, record.key, encode(letter)))

    def take(self) -> list[Message]:
        """Give everything since the last call, in order."""
        messages, self._messages = self._messages, []
        return messages
