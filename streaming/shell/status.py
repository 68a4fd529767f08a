"""Once a second, between two records: numbers for Prometheus, the one-line status, and a look for what is stuck."""

import time
from collections.abc import Iterable

from faust.types import TP
from prometheus_client import REGISTRY
from prometheus_client.core import Metric

from springtide.contracts.errors import ExitCode
from springtide.runtime.health import Health
from streaming.role import Cores, Role
from streaming.shell.commit_watch import CommitWatch
from streaming.shell.gauges import Gauges
from streaming.shell.hard_exit import hard_exit
from streaming.shell.stream_app import StreamApp


class Status:
    """Reads the jobs of one application; a Prometheus collector, whose `collect` any thread may call."""

    def __init__(self, app: StreamApp, role: Role, health: Health, stall_seconds: float) -> None:
        self._app, self._role, self._health = app, role, health
        self._gauges = Gauges(app)
        self._families: list[Metric] = []
        self._commits = CommitWatch(stall_seconds)
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        """Give what was read last."""
        return self._families

    def refresh(self) -> None:
        """Read everything anew; in the event loop, so no record is half taken in."""
        cores = {job.spec.name: list(job.cores.values()) for job in self._app.jobs}
        self._families = [*self._role.read(cores), *self._gauges.read(time.time())]
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
        tps = {TP(job.topic_name, partition) for job in self._app.jobs for partition in job.released}
        released = {tp: offset for tp in tps if (offset := self._app.released(tp)) is not None}
        for tp in self._commits.stuck(released, self._app.consumer.confirmed, time.monotonic()):
            hard_exit(
                ExitCode.COMMIT_STUCK, f"{tp.topic}/{tp.partition}: expected a commit at {released[tp]}, got none"
            )
