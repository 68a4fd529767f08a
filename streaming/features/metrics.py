"""The feature jobs' numbers for Prometheus and the page."""

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from springtide.contracts import metric_names as names
from streaming.features.item_job import ItemFeatures
from streaming.features.user_job import UserFeatures


def read_features(
    users: Sequence[UserFeatures], items: Sequence[ItemFeatures], unreadable_catalogue: int
) -> Iterable[Metric]:
    """Read all jobs of the role."""
    events, unused = Counter[str](), Counter[str]({"catalogue_undecodable": unreadable_catalogue})
    for core in users:
        events.update(core.events)
        unused.update(core.dropped)
    yield _counter(names.EVENTS_IN, "events taken in", "type", events)
    yield _counter("springtide_feature_unused_total", "messages that count for no feature", "reason", unused)
    rows = Counter({"user": sum(core.rows for core in users), "item": sum(core.rows for core in items)})
    yield _counter(names.FEATURE_ROWS, "feature rows made", "entity", rows)
    kept = GaugeMetricFamily("springtide_feature_entities", "entities kept", labels=["entity"])
    kept.add_metric(["user"], sum(core.known for core in users))
    kept.add_metric(["item"], sum(core.known for core in items))
    yield kept


def _counter(name: str, text: str, label: str, counts: Counter[str]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["process", label])
    for value, number in sorted(counts.items()):
        family.add_metric(["features", value], number)
    return family
