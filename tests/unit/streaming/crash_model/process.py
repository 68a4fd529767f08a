"""The process: the protocol of streaming/core.py as steps, any of which may be the last; and ways to break it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from streaming.core import Core, Record, Write
from tests.unit.streaming.crash_model.broker import Broker

LIFE = 700_000
"""Offsets of one life where `skip_applied` is off: a multiple of 7, so that the same records are triggers."""

Order = Literal["entries, meta, deletions", "meta, entries, deletions", "entries, deletions, meta"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The protocol as it is; each field can break one guard."""

    await_rows: bool = True
    """Rows are acknowledged before anything is written."""
    skip_applied: bool = True
    """A record at or below the applied offset is skipped."""
    order: Order = "entries, meta, deletions"
    state_before_deletion: bool = True
    """What a deleted entry came to is written before it is deleted."""
    await_changelog: bool = True
    """The changelog has everything before an offset is released."""
    commit_released: bool = True
    """What is committed was released by a finished trigger; otherwise it was merely taken in."""


SOUND = Protocol()


@dataclass
class Process:
    """One life, from recovery to a crash or the end of the log."""

    make: Callable[[], Core]
    broker: Broker
    protocol: Protocol
    commit_every: int
    """Triggers between two commits."""
    life: int = 0

    def steps(self) -> Iterator[str]:
        """Live; yield after each step, its name."""
        core, start = self.make(), self.broker.committed
        yield "started"
        core.restore(dict(self.broker.changelog))
        yield "recovered"
        triggers = 0
        for record in self.broker.log[start:]:
            is_trigger = core.merge(self._seen(record))
            yield "merged"
            if is_trigger:
                yield from self._trigger(core, self._seen(record).offset)
                triggers += 1
            may_commit = is_trigger if self.protocol.commit_released else record.offset % 3 == 0
            if may_commit and triggers % self.commit_every == 0:
                self.broker.committed = record.offset + 1
                yield "committed"
        self.broker.await_messages()
        self.broker.await_writes()

    def _trigger(self, core: Core, offset: int) -> Iterator[str]:
        for message in core.collect():
            self.broker.send(message)
            yield "row sent"
        if self.protocol.await_rows:
            self.broker.await_messages()
            yield "rows acknowledged"
        for write in in_order(list(core.settle(offset)), self.protocol):
            self.broker.write(write)
            yield _kind(write) + " written"
        if self.protocol.await_changelog:
            self.broker.await_writes()
            yield "changelog acknowledged"

    def _seen(self, record: Record) -> Record:
        """Without the guard every life sees offsets of its own, so that none is ever at or below the applied one."""
        if self.protocol.skip_applied:
            return record
        return Record(record.offset + self.life * LIFE, record.key, record.value)


def in_order(writes: list[Write], protocol: Protocol) -> list[Write]:
    """Sort a trigger's writes anew; the core gives entries, meta, and then deletions and what stands for them."""
    at = next(number for number, write in enumerate(writes) if _kind(write) == "meta")
    entries, meta, deletions = writes[:at], writes[at : at + 1], writes[at + 1 :]
    if not protocol.state_before_deletion:
        gone = {write.key for write in deletions}
        entries = [write for write in entries if write.key not in gone]
    parts = {"entries": entries, "meta": meta, "deletions": deletions}
    return [write for name in protocol.order.split(", ") for write in parts[name]]


def _kind(write: Write) -> Literal["entry", "meta", "deletion"]:
    if write.value is None:
        return "deletion"
    return "meta" if write.key.endswith(b"/m") else "entry"
