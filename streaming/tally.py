"""A histogram that takes many values at once: one a row through the client library costs as much as the row."""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import HistogramMetricFamily


class Tally:
    """Counts per bucket and the sum, for each value of one label."""

    def __init__(self, name: str, text: str, label: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._label, self._bounds = name, text, label, bounds
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, label: str, value: float, times: int = 1) -> None:
        """Count a value; one that equals a bucket's bound belongs to it."""
        counts = self._counts.get(label)
        if counts is None:
            counts = self._counts[label] = [0] * (len(self._bounds) + 1)
            self._sums[label] = 0.0
        counts[bisect_left(self._bounds, value)] += times
        self._sums[label] += value * times

    def family(self) -> HistogramMetricFamily:
        """Give everything counted so far, for Prometheus: each bucket with all below it."""
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        for label, counts in sorted(self._counts.items()):
            total, buckets = 0, []
            for bound, number in zip([*self._bounds, float("inf")], counts, strict=True):
                total += number
                buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), total))
            family.add_metric([label], buckets=buckets, sum_value=self._sums[label])
        return family
