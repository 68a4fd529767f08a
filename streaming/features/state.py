"""What the feature jobs keep, packed; and what they say to each other on the internal topic."""

from collections.abc import Sequence
from typing import Final

import msgspec

from streaming.watermark import Watermark

PACK: Final = msgspec.msgpack.Encoder().encode
PARTIALS_TOPIC: Final = "feature-partials"
"""Internal topic: item counts per source partition, partitioned by item. Delete policy, like `events`."""


class Bucket(msgspec.Struct, array_like=True):
    """What one user did in one bucket."""

    counts: list[int]
    """In the order of BEHAVIOURS."""
    last_click_ms: int = 0
    price_sum: float = 0.0
    priced: int = 0
    """Clicks whose price was known."""
    categories: dict[str, int] = {}
    """Clicks per category."""
    items: dict[str, list[int]] = {}
    """Counts per item; dropped once no late event can change them."""


class SeenSlate(msgspec.Struct, array_like=True):
    """A slate whose impressions may still come, or impressions whose slate may."""

    time_ms: int
    items: list[str] = []
    waiting: dict[int, int] = {}
    """Position -> time of an impression that came before its slate."""
    counted: list[int] = []
    """Positions counted."""


class User(msgspec.Struct, array_like=True):
    """One user. `seen` makes merging idempotent: an event is counted once, however often it comes."""

    buckets: dict[int, Bucket] = {}
    seen: dict[int, int] = {}
    """Hash of an event id -> event time."""
    slates: dict[str, SeenSlate] = {}
    recent: list[tuple[int, str]] = []
    """Time and item of the last behaviours, oldest first."""
    flushed_ms: int = 0
    """Newest flush done for this user: its row is out, and what only older flushes need is dropped."""
    recent_behaviours: list[int] = []
    """Index into BEHAVIOURS per entry of `recent`; 0, or none for the oldest, where an earlier release wrote it."""

    def sequence(self) -> list[tuple[int, str, int]]:
        """Return time, item and behaviour of the last behaviours, oldest first."""
        untold = [0] * (len(self.recent) - len(self.recent_behaviours))
        return [
            (time, item, behaviour)
            for (time, item), behaviour in zip(self.recent, untold + self.recent_behaviours, strict=True)
        ]


FORMAT: Final = 1
"""Of all entries of both jobs; see streaming/state_format.py."""
USER_KEYS: Final = "m|u/.*"
ITEM_KEYS: Final = r"m|b/-?\d+"
"""Of all entries, after the partition's number."""


class UserMeta(msgspec.Struct, array_like=True):
    """The partition itself."""

    applied: int
    watermark: Watermark
    flushed_ms: int | None
    """Newest flush of user rows."""
    items_flushed_ms: int
    """Newest flush of item counts."""
    format: int = 1
    """Of all entries of the partition; 1 where none is given."""


class Partial(msgspec.Struct, array_like=True):
    """Item counts of one source partition. Counts are cumulative, so taking the larger one twice changes nothing."""

    source: int
    boundary_ms: int
    """All counts before it are told; 0 in all but the last message of a flush."""
    counts: dict[int, dict[str, list[int]]]
    """Bucket -> item -> counts in the order of BEHAVIOURS."""


class ItemMeta(msgspec.Struct, array_like=True):
    """The partition itself."""

    applied: int
    boundaries: dict[int, int]
    """Source partition -> newest boundary."""
    emitted_ms: int
    format: int = 1
    """Of all entries of the partition; 1 where none is given."""


user_decoder: Final = msgspec.msgpack.Decoder(User)
user_meta_decoder: Final = msgspec.msgpack.Decoder(UserMeta)
partial_decoder: Final = msgspec.msgpack.Decoder(Partial)
item_bucket_decoder: Final = msgspec.msgpack.Decoder(dict[str, list[int]])
item_meta_decoder: Final = msgspec.msgpack.Decoder(ItemMeta)


def larger(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Take the larger of each pair: cumulative counts only grow."""
    return [max(pair) for pair in zip(first, second, strict=True)]
