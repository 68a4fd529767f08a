"""Quality of what was served as Prometheus gauges, read from the page's newest state when somebody asks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from springtide.contracts import metric_names as names
from springtide.quality.maturity_book import STATES

METRICS: Final = ("ne", "auc", "calibration", "log_loss", "base_rate")
LABELS: Final = ("task", "state", "segment", "model_version", "metric")


class ExportedQuality(Collector):
    """Collects at scrape time.

    Args:
        tasks: gives the quality panel's figures per task, see `QualityPanel.snapshot`; empty before the first.
    """

    def __init__(self, tasks: Callable[[], Mapping[str, Any]]) -> None:
        self._tasks = tasks

    def describe(self) -> list[GaugeMetricFamily]:
        """Name the metrics without asking for their values."""
        return [_served(), _completeness()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield both gauges."""
        served, completeness = _served(), _completeness()
        for task, found in self._tasks().items():
            for state in STATES:
                _add(served, (task, state, "", ""), found.get(state, {}))
            for part in found["parts"]:
                name = str(part["name"])
                place = (name, "") if part["kind"] == "segment" else ("", name)
                _add(served, (task, part["state"], *place), part)
            if found["completeness"] is not None:
                completeness.add_metric([task], found["completeness"])
        yield served
        yield completeness


def _served() -> GaugeMetricFamily:
    return GaugeMetricFamily(names.SERVED, "Quality of what was served, by kind of estimate.", labels=LABELS)


def _completeness() -> GaugeMetricFamily:
    return GaugeMetricFamily(names.LABEL_COMPLETENESS, "Share of labels that come in time.", labels=("task",))


def _add(gauge: GaugeMetricFamily, labels: tuple[str, ...], figures: Mapping[str, Any]) -> None:
    for metric in METRICS:
        if figures.get(metric) is not None:
            gauge.add_metric([*labels, metric], figures[metric])
