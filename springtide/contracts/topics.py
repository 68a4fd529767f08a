"""The Kafka topics: who may be found where, and how long."""

from dataclasses import dataclass
from typing import Final

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicSpec:
    """One topic's promise."""

    name: str
    """Name without the prefix that a deployment or a test may add."""
    key: str
    """What the record key holds."""
    partitioned: bool
    """True: as many partitions as `kafka.partitions`; False: one, so that its order is total."""
    compacted: bool
    """True: the newest message of a key stays for ever; False: old ones are deleted by retention."""


EVENTS: Final = TopicSpec(name="events", key="user_id", partitioned=True, compacted=False)
CATALOGUE: Final = TopicSpec(name="catalogue", key="item_id", partitioned=False, compacted=True)
SAMPLES: Final = TopicSpec(name="samples", key="request_id", partitioned=True, compacted=False)
"""A row lies in the partition of its events, so that a partition's rows follow one watermark."""
FEATURES: Final = TopicSpec(name="features", key="entity:id", partitioned=True, compacted=True)
MODEL_UPDATES: Final = TopicSpec(name="model-updates", key="chain", partitioned=False, compacted=False)
METRICS: Final = TopicSpec(name="metrics", key="process", partitioned=False, compacted=False)
TRUTH: Final = TopicSpec(name="truth", key="request_id", partitioned=False, compacted=False)
CONTROL: Final = TopicSpec(name="control", key="", partitioned=False, compacted=False)
DEAD_LETTER: Final = TopicSpec(name="dead-letter", key="original", partitioned=False, compacted=False)

ALL_TOPICS: Final = (
    EVENTS, CATALOGUE, SAMPLES, FEATURES, MODEL_UPDATES, METRICS, TRUTH, CONTROL, DEAD_LETTER,
)  # fmt: skip
"""Every topic that is created before the first process starts."""
