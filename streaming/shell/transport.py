"""How long records lie in Kafka before they are taken in, in wall time."""

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, Metric

from springtide.contracts import metric_names as names
from streaming.tally import Tally

_BUCKETS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 86400)
_timestamp: Final = attrgetter("timestamp")


class Transport:
    """Tallies the time from a record's Kafka timestamp to its being taken in, per topic.

    The event time inside a record would say nothing here: a simulation and a replay have times of their own.
    """

    def __init__(self) -> None:
        self._tally = Tally(names.EVENT_TRANSPORT, "wall time from Kafka timestamp to taken in", "topic", _BUCKETS)
        self._ahead: Counter[str] = Counter()

    def add(self, topic: str, records: Sequence[Any], now_ms: float) -> None:
        """Count records that are taken in by now; once for each millisecond, not for each record."""
        for timestamp_ms, number in Counter(map(_timestamp, records)).items():
            if timestamp_ms < 0:  # whoever wrote it gave none
                continue
            if timestamp_ms > now_ms:
                self._ahead[topic] += number
            self._tally.add(topic, max(0.0, now_ms - timestamp_ms) / 1000, number)

    def read(self) -> Iterable[Metric]:
        """Give everything counted so far."""
        yield self._tally.family()
        ahead = CounterMetricFamily(names.RECORDS_AHEAD, "records whose timestamp lay ahead", labels=["topic"])
        for topic, number in sorted(self._ahead.items()):
            ahead.add_metric([topic], number)
        yield ahead
