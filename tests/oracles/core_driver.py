"""Drives a pure core as the shell does, over lists, and can crash it at any step of a trigger."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent
from streaming.core import Core, Message, Record


@dataclass
class Driver:
    """One partition: its log, its table, its output, its committed offset."""

    make: Callable[[], Core]
    log: list[Record]
    table: dict[bytes, bytes] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    committed: int = 0
    triggers: int = 0
    lag: int = 0
    """Triggers by which the committed offset lags behind."""
    finished: list[int] = field(default_factory=list)
    after_trigger: Callable[[Core], None] = lambda core: None

    def run(self) -> Core:
        """Go from the committed offset to the end of the log without a crash."""
        core = self.start()
        for record in self.log[self.committed :]:
            if core.merge(record):
                self.trigger(core, record.offset)
        return core

    def run_until_crash(self, draw: random.Random) -> bool:
        """Go on until a random record or a random step of its trigger; true when the log ended first."""
        core = self.start()
        left = draw.randrange(1, draw.choice([40, 400]))
        for record in self.log[self.committed :]:
            is_trigger = core.merge(record)
            left -= 1
            if left == 0:
                if is_trigger:
                    self.trigger_in_part(core, record.offset, draw)
                return False
            if is_trigger:
                self.trigger(core, record.offset)
        return True

    def start(self) -> Core:
        """Make a fresh core from what is durable."""
        core = self.make()
        core.restore(dict(self.table))
        return core

    def trigger(self, core: Core, offset: int) -> None:
        """Do one trigger whole."""
        self.sent += core.collect()
        for write in core.settle(offset):
            self.write(write.key, write.value)
        self.finished.append(offset + 1)
        self.committed = max([self.committed, *self.finished[: -self.lag or None]])
        self.triggers += 1
        self.after_trigger(core)

    def trigger_in_part(self, core: Core, offset: int, draw: random.Random) -> None:
        """Do one trigger up to a random step: some messages, or all and some writes, or all but the commit."""
        messages = core.collect()
        if draw.random() < 0.4:
            self.sent += _delivered(messages, draw)
            return
        self.sent += messages
        writes = list(core.settle(offset))
        for write in writes[: draw.randint(0, len(writes))]:
            self.write(write.key, write.value)

    def write(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record."""
        if value is None:
            self.table.pop(key, None)
        else:
            self.table[key] = value


def _delivered(messages: list[Message], draw: random.Random) -> list[Message]:
    """Choose what arrives of messages in flight: of one partition a beginning, as an idempotent producer promises."""
    lost: set[int] = set()
    arrived = []
    for message in messages:
        if message.partition in lost or draw.random() < 0.5:
            lost |= set() if message.partition is None else {message.partition}
        else:
            arrived.append(message)
    return arrived


def as_records(events: Iterable[AnyEvent]) -> list[Record]:
    """Number and encode events."""
    return [Record(offset, event.user_id.encode(), encode(event)) for offset, event in enumerate(events)]
