"""Feature names, one place for the stream job, Feast, serving and the trainer.

Raw values only: logs, rates and crosses are made at the model's input (springtide/model/inputs.py), so that
one code makes them everywhere.

Topic `features`: the newest rolling features of one user or one item, keyed `user:ID` or `item:ID`.
"""

from typing import Final, Literal

import msgspec

FEATURE_SET_VERSION: Final = 1

BEHAVIOURS: Final = ("impressions", "clicks", "carts", "purchases")
WINDOWS_MS: Final[dict[str, int]] = {"1h": 3_600_000, "1d": 86_400_000, "7d": 604_800_000}
"""Rolling windows in event time, by their name in a feature's name."""

COUNTS: Final = tuple(f"{behaviour}_{window}" for behaviour in BEHAVIOURS for window in WINDOWS_MS)
"""Counts of behaviours in the window that ends at the row's event time."""

USER_FEATURES: Final = (*COUNTS, "last_click_ms", "mean_clicked_price_7d")
"""`last_click_ms` is an event time (0: never); `mean_clicked_price_7d` is in the shop's currency (0: none)."""

ITEM_FEATURES: Final = (*COUNTS, "price", "born_ms")
"""`price` and `born_ms` come from the catalogue, the counts from the stream."""

MAX_RECENT_ITEMS: Final = 20
MAX_TOP_CATEGORIES: Final = 8

Entity = Literal["user", "item"]


class FeatureRow(msgspec.Struct, frozen=True, kw_only=True):
    """The rolling features of one entity, true at `event_time_ms` and after, until the next row."""

    entity: Entity
    entity_id: str
    event_time_ms: int
    """Watermark at which the row was made; every event counted is strictly older."""
    values: dict[str, float]
    """The counts; for a user also the other USER_FEATURES."""
    top_categories: list[str] = []
    top_category_shares: list[float] = []
    recent_items: list[str] = []
    """Items of the last behaviours, oldest first."""
    recent_behaviours: list[str] = []
    """What was done to each of `recent_items`: click, cart or purchase, or an empty text where that is not known."""
    schema_version: int = 1


FEATURE_TIME: Final = "feature_time_ms"
"""The row's event time among its numbers: the online stores' own timestamps are in whole seconds."""

USER_NUMBERS: Final = (FEATURE_TIME, *USER_FEATURES)
ITEM_NUMBERS: Final = (FEATURE_TIME, *COUNTS)
"""The names, in order, of the vector in which Feast keeps a row's plain numbers (docs/decisions/feast-joins.md)."""

FEAST_PROJECT: Final = "springtide"
FEAST_FOLDER: Final = "feature_store"
"""Folder beneath `process.state_folder` that holds the rendered feature_store.yaml: Feast's `repo_path`."""
FEAST_OFFLINE_FOLDER: Final = "offline"
"""Beneath repo_path: a folder per view, in it one per day of event time, in it Parquet files in order of arrival."""
FEAST_EVENT_TIME: Final = "event_timestamp"
"""Column of the offline rows' event time, UTC."""
FEAST_MAX_AGE_MS: Final = 8 * 86_400_000
"""A row older than this counts as none, online and offline: the longest rolling window and a day."""
FEAST_SERVICE: Final = "ranking"
"""Feature service over both views."""

FEAST_USER_ENTITY: Final = "user"
FEAST_ITEM_ENTITY: Final = "item"
FEAST_USER_KEY: Final = "user_id"
FEAST_ITEM_KEY: Final = "item_id"
"""Join keys, as columns of entity rows; texts."""
FEAST_USER_VIEW: Final = "user_features"
FEAST_ITEM_VIEW: Final = "item_features"

FEAST_NUMBERS: Final = "numbers"
USER_LISTS: Final = ("top_categories", "top_category_shares", "recent_items", "recent_behaviours")
"""A user's features that are no numbers; fields of FeatureRow and of SlateFeatures."""
FEAST_USER_COLUMNS: Final = (FEAST_NUMBERS, *USER_LISTS)
FEAST_ITEM_COLUMNS: Final = (FEAST_NUMBERS,)
"""The features of each view as Feast stores them. Read through springtide.feature_join, which names the numbers."""


def feast_column(view: str, feature: str) -> str:
    """Name a feature's column in a joined frame, as Feast's full feature names do: `item_features__clicks_1d`."""
    return f"{view}__{feature}"
