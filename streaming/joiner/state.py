"""What the joiner keeps of a request, and of what waits.

Merging is min and union: repeating an event changes nothing. What never changes once it has come (who was shown
what by which model) is kept as the bytes that rows are made of; what changes is small.
"""

from functools import lru_cache
from typing import Final

import msgspec

from springtide.contracts.tasks import Task
from streaming.core import Record
from streaming.watermark import Watermark

PACK: Final = msgspec.msgpack.Encoder().encode


class Fact(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One click, cart or purchase."""

    event_id: str
    task: Task
    item_id: str
    time_ms: int
    revenue: float
    """Price times quantity, for a purchase."""


class Held(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event that still waits, as it came: to be merged later, or to go to the dead letters."""

    event_id: str
    task: Task | None
    """None: an impression or a refund."""
    offset: int
    key: bytes
    value: bytes

    @property
    def record(self) -> Record:
        """The event's record."""
        return Record(self.offset, self.key, self.value)


class TakenBack(msgspec.Struct, array_like=True, gc=False):
    """A refund of one of the slate's purchases."""

    purchase_id: str
    event_id: str
    time_ms: int
    told: bool = False
    """Its row is out."""


class Slate(msgspec.Struct, array_like=True, gc=False):
    """All that is known of one request; begun by whichever of its events comes first.

    It is without cycles and spared by the garbage collector, which would else look at every pending slate again
    and again: hence tuples that are replaced, not lists that grow.
    """

    request_id: str
    user_id: str = ""
    first_ms: int = 0
    """Oldest event time of any of its events."""
    origin: bytes = b""
    """Who decided the slate: experiment, arms, model and context, as a piece of JSON; empty: `served` has not come."""
    served_id: str = ""
    served_ms: int = 0
    item_ids: tuple[str, ...] = ()
    scores: bytes = b""
    """JSON object of columns, as served."""
    propensities: bytes = b""
    """JSON column, as served."""
    features: bytes = b""
    """JSON, as served, until no row needs them any more."""
    impression_ms: int | None = None
    impression_ids: tuple[str, ...] = ()
    positions: tuple[int, ...] = ()
    labels: tuple[Fact, ...] = ()
    """The labels that count, and late clicks: a purchase may still be credited to them."""
    waiting: tuple[Held, ...] = ()
    """What came before the slate was complete, or names an item that is not shown yet."""
    told: tuple[str, ...] = ()
    """`task:item` of each positive that an observed or corrected row has told."""
    refunds: tuple[TakenBack, ...] = ()
    stage: int = 0
    """How many of its rows are out; see plan.py."""
    closed: bool = False
    """The last row is out; what remains knows late labels, repetitions and refunds."""
    segment: int = 0
    """Number of the table's entry that holds it as it is, or was before its newest changes; 0: none."""
    size: int = 0
    """Bytes that it is taken to need."""

    @property
    def complete(self) -> bool:
        """Both the slate and an impression of it have come."""
        return self.impression_ms is not None and self.origin != b""

    def knows(self, event_id: str) -> bool:
        """Say whether this label or waiting event has come before."""
        return event_id in [fact.event_id for fact in self.labels] or event_id in [
            held.event_id for held in self.waiting
        ]

    def place(self, item_id: str) -> int:
        """Give the item's position if it was shown, 0 if not."""
        if item_id not in self.item_ids:
            return 0
        place = self.item_ids.index(item_id) + 1
        if place in self.positions:
            return place
        return next((place for place in self.positions if self.item_ids[place - 1] == item_id), 0)

    def delay_ms(self, time_ms: int) -> int:
        """Time since the impression; what comes before it (clocks differ) has delay 0."""
        return max(0, time_ms - (self.impression_ms or 0))

    def estimate(self) -> int:
        """Estimate the bytes that it needs: objects, keys, timers, its share of collections; 0 if given up."""
        if not self.origin and not self.waiting:
            return 0
        size = SLATE_BYTES + len(self.scores) + len(self.propensities) + len(self.features)
        if self.labels or self.waiting or self.refunds:
            size += FACT_BYTES * (len(self.labels) + len(self.refunds) + len(self.waiting))
            size += sum([len(held.value) for held in self.waiting])
        return size


SLATE_BYTES: Final = 1250
FACT_BYTES: Final = 250


@lru_cache(maxsize=1024)
def every_place(count: int) -> tuple[int, ...]:
    """Give the positions of a slate of which every item was shown: one object for all of them."""
    return tuple(range(1, count + 1))


class Stray(msgspec.Struct, array_like=True, frozen=True):
    """A label that waits for credit, or a refund (without a fact) that waits for its purchase."""

    user_id: str
    time_ms: int
    held: Held
    fact: Fact | None = None
    purchase_id: str = ""


FORMAT: Final = 1
"""Of all entries; see streaming/state_format.py."""
KEYS: Final = r"m|b/\d+|t/.+"
"""Of all entries, after the partition's number."""


class PartitionMeta(msgspec.Struct, array_like=True):
    """The partition itself."""

    applied: int
    watermark: Watermark
    triggered_ms: int | None
    """Watermark at the last trigger."""
    before_ms: int | None = None
    """Watermark at the trigger before the last: what fell due then is surely done, deletions included."""
    format: int = 1
    """Of all entries of the partition; 1 where none is given."""


slates_decoder: Final = msgspec.msgpack.Decoder(list[Slate])
stray_decoder: Final = msgspec.msgpack.Decoder(Stray)
meta_decoder: Final = msgspec.msgpack.Decoder(PartitionMeta)
