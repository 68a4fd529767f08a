"""Prometheus metrics of the gateway; names that others read are in springtide.contracts.metric_names."""

from prometheus_client import Counter, Gauge, Histogram

from springtide.contracts import metric_names

_FAST = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024)

REQUESTS = Counter(metric_names.REQUESTS, "Slate requests", ["arm", "outcome"])
FALLBACKS = Counter(metric_names.FALLBACKS, "Slates that no model ranked", ["reason"])
REQUEST_SECONDS = Histogram(metric_names.REQUEST_SECONDS, "Wall time of a slate request", ["arm"], buckets=_FAST)
MODEL_NEWEST = Gauge(metric_names.MODEL_NEWEST, "Newest event that the served model has learned", ["arm"])
SWAPS = Counter(metric_names.SWAPS, "Models taken or refused", ["arm", "outcome"])

STAGE_SECONDS = Counter("springtide_serving_stage_seconds_total", "Wall time in an actor per stage", ["arm", "stage"])
BATCHES = Counter("springtide_serving_batches_total", "Actor calls", ["arm"])
REPEATS = Counter("springtide_repeated_requests_total", "Requests answered from memory, and not logged again")
EXPOSURES = Counter("springtide_exposures_total", "Served events acknowledged by the broker")
EXPOSURES_UNACKED = Counter("springtide_exposures_unacked_total", "Answers sent before their served event was safe")
EXPOSURES_RETRIED = Counter("springtide_exposures_retried_total", "Served events handed to the producer again")
EXPOSURES_DROPPED = Counter("springtide_exposures_dropped_total", "Served events dropped: the backlog was full")
EXPOSURES_OPEN = Gauge("springtide_exposures_open", "Served events not yet acknowledged")
ENROLLED = Gauge("springtide_experiment_enrolled_ratio", "Share of users in the experiment", ["experiment"])
ITEMS = Gauge("springtide_serving_items", "Items that an arm may recommend", ["arm"])
FEATURE_TIME = Gauge("springtide_serving_feature_timestamp_seconds", "Newest item feature row used", ["arm"])
ONLINE_ERRORS = Gauge("springtide_serving_online_errors", "Failed reads of the online store", ["arm"])
BAD_MESSAGES = Gauge("springtide_serving_bad_messages", "Messages that could not be used", ["reader"])
ACTOR_CPU = Gauge("springtide_actor_cpu_seconds", "CPU time of an arm's process since its start", ["arm"])
ACTOR_RSS = Gauge("springtide_actor_memory_bytes", "Resident memory of an arm's process", ["arm"])
