"""How one event changes one user: pure functions on `User`, each idempotent through `User.seen`."""

import hashlib
from collections.abc import Callable
from typing import Final

from springtide.contracts.events import Impression, Label, Served
from springtide.contracts.features import BEHAVIOURS, MAX_RECENT_ITEMS
from streaming.features.state import Bucket, SeenSlate, User

BEHAVIOUR_OF: Final = {"Click": 1, "Cart": 2, "Purchase": 3}
"""Index into BEHAVIOURS per event type; impressions are 0."""

Catalogue = Callable[[str], tuple[str, float] | None]
"""Category and price of an item, None when it is unknown."""
Count = tuple[int, str, int]
"""Bucket, item, index into BEHAVIOURS of one more behaviour."""


def event_hash(event_id: str) -> int:
    """Eight bytes that stand for an event id."""
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest()) >> 1


def take_served(user: User, event: Served, width_ms: int) -> list[Count]:
    """Learn a slate's items, and count impressions of it that came before."""
    slate = user.slates.setdefault(event.request_id, SeenSlate(event.event_time_ms))
    if slate.items:
        return []
    slate.items = list(event.item_ids)
    waiting, slate.waiting = slate.waiting, {}
    return [
        count for position, time in sorted(waiting.items()) for count in _shown(user, slate, position, time, width_ms)
    ]


def take_impression(user: User, event: Impression, width_ms: int) -> list[Count]:
    """Count the shown items, or keep the positions until the slate comes."""
    slate = user.slates.setdefault(event.request_id, SeenSlate(event.event_time_ms))
    if not slate.items:
        for position in event.positions:
            slate.waiting[position] = min(event.event_time_ms, slate.waiting.get(position, event.event_time_ms))
        return []
    return [
        count for position in event.positions for count in _shown(user, slate, position, event.event_time_ms, width_ms)
    ]


def take_label(user: User, event: Label, width_ms: int, catalogue: Catalogue) -> list[Count]:
    """Count a click, cart or purchase."""
    behaviour, time = BEHAVIOUR_OF[type(event).__name__], event.event_time_ms
    counted = _count(user, time, event.item_id, behaviour, width_ms)
    if behaviour == 1:
        _note_click(user.buckets[counted[0]], event, catalogue(event.item_id))
    # Twice the length: rows tell only what is older than the flush, and events are a little out of order.
    kept = sorted([*user.sequence(), (time, event.item_id, behaviour)])[-2 * MAX_RECENT_ITEMS :]
    user.recent = [(at_ms, item_id) for at_ms, item_id, _ in kept]
    user.recent_behaviours = [done for _, _, done in kept]
    return [counted]


def _shown(user: User, slate: SeenSlate, position: int, time_ms: int, width_ms: int) -> list[Count]:
    if position in slate.counted or not 1 <= position <= len(slate.items):
        return []
    slate.counted = [*slate.counted, position]
    return [_count(user, time_ms, slate.items[position - 1], 0, width_ms)]


def _count(user: User, time_ms: int, item_id: str, behaviour: int, width_ms: int) -> Count:
    begin = time_ms - time_ms % width_ms
    bucket = user.buckets.get(begin)
    if bucket is None:
        bucket = user.buckets[begin] = Bucket([0] * len(BEHAVIOURS))
    bucket.counts[behaviour] += 1
    counts = bucket.items.get(item_id)
    if counts is None:
        counts = bucket.items[item_id] = [0] * len(BEHAVIOURS)
    counts[behaviour] += 1
    return (begin, item_id, behaviour)


def _note_click(bucket: Bucket, event: Label, known: tuple[str, float] | None) -> None:
    bucket.last_click_ms = max(bucket.last_click_ms, event.event_time_ms)
    if known is not None:
        category, price = known
        bucket.categories[category] = bucket.categories.get(category, 0) + 1
        bucket.price_sum += price
        bucket.priced += 1
