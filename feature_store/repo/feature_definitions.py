"""What Feast knows of Springtide: two entities, a view of each, and the service over both.

A row's plain numbers travel as one vector, named in order by USER_NUMBERS and ITEM_NUMBERS of the contract: Feast
stores each feature apart, and twelve counts apart cost four times as much to write and to read as one vector.
Paths are relative to Feast's repo_path, the writer's state folder.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Float64, String

from springtide.contracts.features import (
    FEAST_EVENT_TIME,
    FEAST_ITEM_ENTITY,
    FEAST_ITEM_KEY,
    FEAST_ITEM_VIEW,
    FEAST_MAX_AGE_MS,
    FEAST_NUMBERS,
    FEAST_OFFLINE_FOLDER,
    FEAST_SERVICE,
    FEAST_USER_ENTITY,
    FEAST_USER_KEY,
    FEAST_USER_VIEW,
)

_MAX_AGE = timedelta(milliseconds=FEAST_MAX_AGE_MS)

user = Entity(name=FEAST_USER_ENTITY, join_keys=[FEAST_USER_KEY], value_type=ValueType.STRING)
item = Entity(name=FEAST_ITEM_ENTITY, join_keys=[FEAST_ITEM_KEY], value_type=ValueType.STRING)

user_rows = FileSource(
    name=f"{FEAST_USER_VIEW}_rows",
    path=f"{FEAST_OFFLINE_FOLDER}/{FEAST_USER_VIEW}",
    timestamp_field=FEAST_EVENT_TIME,
    description="Every row of a user that the stream made, by day of event time.",
)
item_rows = FileSource(
    name=f"{FEAST_ITEM_VIEW}_rows",
    path=f"{FEAST_OFFLINE_FOLDER}/{FEAST_ITEM_VIEW}",
    timestamp_field=FEAST_EVENT_TIME,
    description="Every row of an item that the stream made, by day of event time.",
)

user_features = FeatureView(
    name=FEAST_USER_VIEW,
    entities=[user],
    ttl=_MAX_AGE,
    schema=[
        Field(name=FEAST_USER_KEY, dtype=String),
        Field(name=FEAST_NUMBERS, dtype=Array(Float64), description="USER_NUMBERS, in that order"),
        Field(name="top_categories", dtype=Array(String), description="most clicked categories, most first"),
        Field(name="top_category_shares", dtype=Array(Float64), description="share of clicks per top category"),
        Field(name="recent_items", dtype=Array(String), description="items of the last behaviours, oldest first"),
        Field(name="recent_behaviours", dtype=Array(String), description="what was done to each recent item"),
    ],
    source=PushSource(name=f"{FEAST_USER_VIEW}_push", batch_source=user_rows),
)
item_features = FeatureView(
    name=FEAST_ITEM_VIEW,
    entities=[item],
    ttl=_MAX_AGE,
    schema=[
        Field(name=FEAST_ITEM_KEY, dtype=String),
        Field(name=FEAST_NUMBERS, dtype=Array(Float64), description="ITEM_NUMBERS, in that order"),
    ],
    source=PushSource(name=f"{FEAST_ITEM_VIEW}_push", batch_source=item_rows),
)

ranking = FeatureService(name=FEAST_SERVICE, features=[user_features, item_features])

DEFINITIONS = (user, item, user_rows, item_rows, user_features, item_features, ranking)
"""Everything that the writer applies."""
