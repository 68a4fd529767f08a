"""What the shell knows of its jobs, as Prometheus gauges: times, lag, commits, recovery, partitions held."""

from collections.abc import Iterable
from typing import Final

from faust.types import TP
from prometheus_client.core import GaugeMetricFamily, Metric

from springtide.contracts import metric_names as names
from streaming.shell.stream_app import StreamApp

_PLACE: Final = ("stage", "topic", "partition")


class Gauges:
    """Reads an application's jobs and consumer; remembers when each partition was last read to its end."""

    def __init__(self, app: StreamApp) -> None:
        self._app = app
        self._caught_up: dict[TP, float] = {}

    def read(self, now: float) -> Iterable[Metric]:
        """Read everything.

        Args:
            now: wall time, seconds since the epoch, on the clock of the records' timestamps.
        """
        yield from self._times()
        yield from self._lag(now)
        yield self._commits()
        recovery = GaugeMetricFamily(names.RECOVERY_SECONDS, "without reading, at the last start", labels=["stage"])
        held = GaugeMetricFamily(names.PARTITIONS_HELD, "partitions over their budget", labels=["stage"])
        for job in self._app.jobs:
            held.add_metric([job.spec.name], len(job.over_budget()))
            if job.recovery_seconds is not None:
                recovery.add_metric([job.spec.name], job.recovery_seconds)
        yield from (recovery, held)
        yield from self._app.record_times.read()

    def _times(self) -> Iterable[Metric]:
        watermarks = GaugeMetricFamily(names.WATERMARK, "event time complete", labels=["stage", "partition"])
        newest = GaugeMetricFamily(names.NEWEST_EVENT, "newest event time", labels=["stage"])
        for job in self._app.jobs:
            for partition, core in sorted(job.cores.items()):
                if core.watermark_ms is not None:
                    watermarks.add_metric([job.spec.name, str(partition)], core.watermark_ms / 1000)
            seen = [core.newest_ms for core in job.cores.values() if core.newest_ms is not None]
            if seen:
                newest.add_metric([job.spec.name], max(seen) / 1000)
        return [watermarks, newest]

    def _lag(self, now: float) -> Iterable[Metric]:
        """Tell what lies ahead, and for how long the oldest of it can have lain there.

        It came after the last record that was taken in, and after the last look at which nothing lay ahead. Of a
        partition that is held nothing is fetched, so nobody knows what lies ahead of it: there the first alone counts.
        """
        records = GaugeMetricFamily(names.CONSUMER_LAG, "records not taken in", labels=_PLACE)
        seconds = GaugeMetricFamily(names.CONSUMER_LAG_SECONDS, "age of what is not taken in, at most", labels=_PLACE)
        for job in self._app.jobs:
            for partition, core in sorted(job.cores.items()):
                tp, taken = TP(job.topic_name, partition), job.taken.get(partition, core.applied)
                end = self._app.consumer.highwater(tp)
                if end is None:
                    continue
                ahead = max(0, end - taken - 1)
                if not ahead and tp not in self._app.consumer.held:
                    self._caught_up[tp] = now
                place = [job.spec.name, job.spec.topic, str(partition)]
                records.add_metric(place, ahead)
                since = max(job.newest_timestamp.get(partition, 0.0), self._caught_up.get(tp, 0.0))
                if since:
                    seconds.add_metric(place, max(0.0, now - since))
        return [records, seconds]

    def _commits(self) -> Metric:
        behind = GaugeMetricFamily(names.COMMITS_BEHIND, "released and not committed", labels=_PLACE)
        for job in self._app.jobs:
            for partition, released in sorted(job.released.items()):
                confirmed = self._app.consumer.confirmed.get(TP(job.topic_name, partition), 0)
                place = [job.spec.name, job.spec.topic, str(partition)]
                behind.add_metric(place, max(0, released - confirmed))
        return behind
