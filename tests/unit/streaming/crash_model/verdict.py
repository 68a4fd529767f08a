"""What a run said, against what the same log says when nothing crashes."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.samples import Sample
from springtide.contracts.topics import DEAD_LETTER, SAMPLES
from streaming.core import Message


@dataclass
class Verdict:
    """Counts over rows and dead letters; repetitions with the same payload are allowed."""

    lost: int = 0
    unexpected: int = 0
    conflicts: int = 0
    """One row id, two payloads; or one, and it is not the right one."""

    def __bool__(self) -> bool:
        return bool(self.lost or self.unexpected or self.conflicts)

    def add(self, other: "Verdict") -> None:
        """Add another run's counts."""
        self.lost += other.lost
        self.unexpected += other.unexpected
        self.conflicts += other.conflicts


def judge(said: Iterable[Message], wanted: Iterable[Message]) -> Verdict:
    """Compare two runs."""
    found, right = payloads(said), payloads(wanted)
    both = found.keys() & right.keys()
    return Verdict(
        lost=len(right.keys() - found.keys()),
        unexpected=len(found.keys() - right.keys()),
        conflicts=sum(found[name] != right[name] for name in both),
    )


def payloads(messages: Iterable[Message]) -> dict[str, set[bytes]]:
    """Every payload that was said under a row id. A dead letter is its reason and its record: copies are one."""
    found: dict[str, set[bytes]] = {}
    for message in messages:
        name, payload = _identity(message)
        found.setdefault(name, set()).add(payload)
    return found


def _identity(message: Message) -> tuple[str, bytes]:
    if message.topic == SAMPLES.name:
        return msgspec.json.decode(message.value, type=Sample).row_id, message.value
    assert message.topic == DEAD_LETTER.name
    letter = msgspec.json.decode(message.value, type=DeadLetter)
    return f"{letter.reason}: {letter.value!r}", b""
