"""Once a second, between two records: numbers for Prometheus, the one-line status, and a look for what is stuck."""

import time
from collections.abc import Iterable

from faust.types import TP
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric

from springtide.contracts import metric_names as names
from springtide.contracts.errors import ExitCode
from springtide.runtime.health import Health
from streaming.role import Cores, Role
from streaming.shell.hard_exit import hard_exit
from streaming.shell.stream_app import StreamApp


class Status:
    """Reads the jobs of one application; a Prometheus collector, whose `collect` any thread may call."""

    def __init__(self, app: StreamApp, role: Role, health: Health, stall_seconds: float) -> None:
        self._app, self._role, self._health, self._stall_seconds = app, role, health, stall_seconds
        self._families: list[Metric] = []
        self._behind_since: dict[TP, float] = {}
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        """Give what was read last."""
        return self._families

    def refresh(self) -> None:
        """Read everything anew; in the event loop, so no record is half taken in."""
        cores = {job.spec.name: list(job.cores.values()) for job in self._app.jobs}
        self._families = [*self._role.read(cores), *self._times(), self._lag()]
        ready = all(job.recovered for job in self._app.jobs)
        self._health.update(ready=ready, status=self._line(cores) if ready else "reading state from the changelog")

    def _line(self, cores: Cores) -> str:
        """Tell progress; a partition that is held over its budget comes first."""
        for job in self._app.jobs:
            job.heed_budget()
        held = [f"{job.spec.topic}/{number}" for job in self._app.jobs for number in job.over_budget()]
        if not held:
            return self._role.line(cores)
        return (
            f"{', '.join(held)} not read: more is pending than {self._role.name}.budget allows, and nothing is thrown "
            f"out; raise it or shorten the windows, and start again; {self._role.line(cores)}"
        )

    def check_commits(self) -> None:
        """End the process when finished triggers have not been committed for too long."""
        consumer, now = self._app.consumer, time.monotonic()
        for job in self._app.jobs:
            for partition, offset in list(job.released.items()):
                tp = TP(job.topic_name, partition)
                if consumer.confirmed.get(tp, -1) >= (self._app.released(tp) or 0):
                    self._behind_since[tp] = now
                elif now - self._behind_since.setdefault(tp, now) > self._stall_seconds:
                    hard_exit(ExitCode.COMMIT_STUCK, f"{tp.topic}/{partition}: expected a commit at {offset}, got none")

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

    def _lag(self) -> Metric:
        lag = GaugeMetricFamily(names.CONSUMER_LAG, "records not taken in", labels=["stage", "topic", "partition"])
        for job in self._app.jobs:
            for partition, taken in sorted(job.taken.items()):
                end = self._app.consumer.highwater(TP(job.topic_name, partition))
                if end is not None:
                    lag.add_metric([job.spec.name, job.spec.topic, str(partition)], max(0, end - taken - 1))
        return lag
