"""What the writer counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from springtide.contracts.metric_names import CONSUMER_LAG, DEAD_LETTERS, FEATURE_ROWS, NEWEST_EVENT

STAGE: Final = "feature_store"

ROWS: Final = Counter(FEATURE_ROWS, "Feature rows stored.", ["process", "entity"])
STALE: Final = Counter(
    "springtide_feature_rows_stale_total", "Rows older than what is online: offline only.", ["entity"]
)
REFUSED: Final = Counter(DEAD_LETTERS, "Messages sent to the dead-letter topic.", ["process", "reason"])
NEWEST: Final = Gauge(NEWEST_EVENT, "Newest event time seen.", ["stage"])
LAG: Final = Gauge(CONSUMER_LAG, "Records not yet taken.", ["stage", "topic", "partition"])
WRITE_SECONDS: Final = Histogram(
    "springtide_feature_write_seconds",
    "Wall time to make a batch durable in a store.",
    ["store"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
PUSH_SECONDS: Final = Histogram(
    "springtide_feature_push_seconds",
    "Wall time from a row's arrival in Kafka to both stores, per batch: of its oldest row.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
DAYS_DROPPED: Final = Counter("springtide_feature_days_dropped_total", "Offline days past the retention.")
