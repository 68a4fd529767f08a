"""What the joiner keeps, as packed entries of one table.

Keys begin with the partition, so that the entries of one partition are found and two partitions never meet:
`P/s/REQUEST` a slate, `P/t/EVENT` a label that waits for last-touch credit, `P/m` the partition itself.
"""

from typing import Final

import msgspec

from springtide.contracts.tasks import Task
from streaming.watermark import Watermark

PACK: Final = msgspec.msgpack.Encoder().encode


class LabelFact(msgspec.Struct, array_like=True, frozen=True):
    """One click, cart or purchase."""

    task: Task
    item_id: str
    time_ms: int
    revenue: float
    """Price times quantity, for a purchase."""


class Held(msgspec.Struct, array_like=True, frozen=True):
    """The original record of an event that still waits, should it have to go to the dead letters."""

    offset: int
    key: bytes
    value: bytes


class Slate(msgspec.Struct, array_like=True):
    """All that is known of one request. Merging is min and union: repeating an event changes nothing."""

    request_id: str
    user_id: str
    first_ms: int
    """Oldest event time of any of its events."""
    served: bytes = b""
    """The `served` event as it came; empty while it is missing and after the final row."""
    served_id: str = ""
    served_ms: int = 0
    item_ids: tuple[str, ...] = ()
    impression_ms: int | None = None
    impression_ids: list[str] = []
    positions: list[int] = []
    labels: dict[str, LabelFact] = {}
    """By event id."""
    held: dict[str, Held] = {}
    """By event id; only while `served` or the impression is missing."""
    observed: bool = False
    """The observed row is out."""
    told: list[str] = []
    """`task:item` of each positive that a row has told."""
    final: bool = False
    """The final row is out; what remains knows late labels and repetitions."""

    @property
    def complete(self) -> bool:
        """Both the slate and an impression of it have come."""
        return bool(self.served_id) and self.impression_ms is not None

    def shown(self) -> list[tuple[int, str]]:
        """Give position and item of each shown item, in position order."""
        count = len(self.item_ids)
        return [(position, self.item_ids[position - 1]) for position in self.positions if 1 <= position <= count]

    def shows(self, item_id: str) -> bool:
        """Say whether the item was shown."""
        return any(shown == item_id for _, shown in self.shown())

    def delay_ms(self, fact: LabelFact) -> int:
        """Label time minus impression time; a label before its impression (clocks differ) has delay 0."""
        return max(0, fact.time_ms - (self.impression_ms or 0))


class Touch(msgspec.Struct, array_like=True, frozen=True):
    """A label without a request; it goes to its user's last click on the item, once all clicks before it are in."""

    user_id: str
    fact: LabelFact
    held: Held


class PartitionMeta(msgspec.Struct, array_like=True):
    """The partition itself."""

    applied: int
    watermark: Watermark
    triggered_ms: int | None
    """Watermark at the last trigger."""


slate_decoder: Final = msgspec.msgpack.Decoder(Slate)
touch_decoder: Final = msgspec.msgpack.Decoder(Touch)
meta_decoder: Final = msgspec.msgpack.Decoder(PartitionMeta)


def slate_key(partition: int, request_id: str) -> bytes:
    """Key of a slate's entry."""
    return f"{partition}/s/{request_id}".encode()


def touch_key(partition: int, event_id: str) -> bytes:
    """Key of a waiting label's entry."""
    return f"{partition}/t/{event_id}".encode()


def meta_key(partition: int) -> bytes:
    """Key of the partition's own entry."""
    return f"{partition}/m".encode()
