"""What outlives a crash, and what is on its way there."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from streaming.core import Message, Record, Write


@dataclass
class Broker:
    """One input partition with its committed offset, its changelog, and all that was sent.

    What was handed over is in flight until it arrives. Changelog records go to one partition, so they arrive in
    order and a crash leaves a beginning of them. Messages go to many partitions: any subset arrives, in any order,
    but for messages with a partition of their own, of which an idempotent producer delivers a beginning.
    """

    log: Sequence[Record]
    committed: int = 0
    changelog: dict[bytes, bytes] = field(default_factory=dict)
    """Compacted: what a recovery reads."""
    arrived: list[Message] = field(default_factory=list)
    _messages: list[Message] = field(default_factory=list)
    _writes: list[Write] = field(default_factory=list)

    def send(self, message: Message) -> None:
        """Hand over one message."""
        self._messages.append(message)

    def write(self, write: Write) -> None:
        """Hand over one changelog record."""
        self._writes.append(write)

    def await_messages(self) -> None:
        """Let every message arrive."""
        self.arrived += self._messages
        self._messages = []

    def await_writes(self) -> None:
        """Let every changelog record arrive."""
        self._apply(self._writes)
        self._writes = []

    def let_some_arrive(self, draw: random.Random) -> None:
        """Let time pass."""
        lucky = set(_lucky(self._messages, draw))
        self.arrived += [message for number, message in enumerate(self._messages) if number in lucky]
        self._messages = [message for number, message in enumerate(self._messages) if number not in lucky]
        count = draw.randint(draw.choice([0, max(0, len(self._writes) - 2)]), len(self._writes))
        self._apply(self._writes[:count])
        del self._writes[:count]

    def crash(self, draw: random.Random) -> None:
        """Lose what is still in flight, but for what arrives all the same."""
        self.let_some_arrive(draw)
        self._messages, self._writes = [], []

    def _apply(self, writes: Iterable[Write]) -> None:
        for write in writes:
            if write.value is None:
                self.changelog.pop(write.key, None)
            else:
                self.changelog[write.key] = write.value


def _lucky(messages: list[Message], draw: random.Random) -> Iterable[int]:
    """Choose by index what arrives."""
    held_up: set[int] = set()
    for number, message in enumerate(messages):
        if message.partition in held_up or draw.random() < 0.5:
            held_up |= set() if message.partition is None else {message.partition}
        else:
            yield number
