"""What the shell and a pure core say to each other.

A core owns the state of one input partition. It changes only by `merge`, one record after the other; it emits
only at triggers, and whether a record is a trigger follows from the input alone. At a trigger the shell

  1. takes `collect()` and sends it, and waits until the broker has every message;
  2. writes `settle()` into the partition's table, in this order: changed entries with their flags, then the
     partition's own entry with the applied offset, then deletions;
  3. waits until the changelog has them, and only then lets the input be committed up to this record.

Nothing else is ever committed, so a crash at any point replays whole intervals between triggers. A replayed
record at or below the applied offset is skipped; one above it meets either the old entry, or the very entry
that the interrupted trigger wrote, and merging again changes neither.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """One input record."""

    offset: int
    key: bytes
    value: bytes


class Message(NamedTuple):
    """One message to send, to a topic by its name without prefix."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None
    """None: the key decides."""


class Write(NamedTuple):
    """One change of the table; no value deletes the entry."""

    key: bytes
    value: bytes | None


class Core(Protocol):
    """The state of one input partition."""

    @property
    def applied(self) -> int:
        """Offset of the last completed trigger, -1 before the first."""
        ...

    @property
    def watermark_ms(self) -> int | None:
        """Event time up to which everything has come; None before the first event."""
        ...

    @property
    def newest_ms(self) -> int | None:
        """Newest event time believed."""
        ...

    @property
    def over_budget(self) -> bool:
        """More is pending than the partition may hold; the shell then reads no more until this is false again."""
        ...

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over the partition's entries as the table holds them; once, before anything else.

        Raises:
            FormatError: they are not of this version (state_format.py).
        """
        ...

    def merge(self, record: Record) -> bool:
        """Take in one record; true when it is a trigger."""
        ...

    def collect(self) -> list[Message]:
        """At a trigger: everything that is due, to be acknowledged before anything is written."""
        ...

    def settle(self, offset: int) -> Iterable[Write]:
        """After the acknowledgement: what to write, in order; `offset` is the trigger's."""
        ...


def merge_until_trigger(core: Core, records: Iterator[Record]) -> Record | None:
    """Take in records up to and with the next trigger, which is returned; None when the records end before one.

    The iterator keeps the place: after the trigger's steps, call again with the same one.
    """
    for record in records:
        if core.merge(record):
            return record
    return None
