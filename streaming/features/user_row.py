"""A user's feature row at a flush: a function of the events strictly before it."""

from collections import Counter
from typing import Final

from springtide.contracts.features import MAX_RECENT_ITEMS, MAX_TOP_CATEGORIES, FeatureRow
from springtide.contracts.tasks import TASKS
from streaming.features.state import User
from streaming.features.windows import LONGEST_MS, window_counts

_NAMES: Final = ("", *TASKS)
"""What a behaviour's index is called; impressions are not in the sequence, so 0 is one that was not told."""


def user_row(user_id: str, user: User, at_ms: int) -> FeatureRow:
    """Make the row that is true at `at_ms`, a moment of the flush grid."""
    inside = {begin: bucket for begin, bucket in user.buckets.items() if at_ms - LONGEST_MS <= begin < at_ms}
    values = window_counts({begin: bucket.counts for begin, bucket in inside.items()}, at_ms)
    priced = sum(bucket.priced for bucket in inside.values())
    values["last_click_ms"] = float(max((bucket.last_click_ms for bucket in inside.values()), default=0))
    price_sum = sum(inside[begin].price_sum for begin in sorted(inside))
    values["mean_clicked_price_7d"] = price_sum / priced if priced else 0.0
    clicked: Counter[str] = Counter()
    for bucket in inside.values():
        clicked.update(bucket.categories)
    total = sum(clicked.values())
    top = sorted(clicked.items(), key=lambda entry: (-entry[1], entry[0]))[:MAX_TOP_CATEGORIES]
    recent = [(item_id, done) for time_ms, item_id, done in user.sequence() if time_ms < at_ms][-MAX_RECENT_ITEMS:]
    return FeatureRow(
        entity="user",
        entity_id=user_id,
        event_time_ms=at_ms,
        values=values,
        top_categories=[category for category, _ in top],
        top_category_shares=[count / total for _, count in top],
        recent_items=[item_id for item_id, _ in recent],
        recent_behaviours=[_NAMES[done] for _, done in recent],
    )
