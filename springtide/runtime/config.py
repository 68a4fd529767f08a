"""The sections that many processes read: `process`, `kafka`, `labels` and `bundles`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from springtide.contracts.tasks import TASKS


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessConfig:
    """Where a process keeps state and how it is watched."""

    state_folder: Path = Path(".springtide")
    """Folder of all local state; each process makes its own folder beneath it."""
    host: str = "127.0.0.1"
    """Address that health, metrics, gateway and page bind to."""
    health_port: int = 0
    """TCP port of /health and /metrics; 0 takes any free one."""
    instance: str = ""
    """Tells several processes of one kind apart; empty: the process name and `-0`."""
    report_every: timedelta = timedelta(seconds=1)
    """Wall time between two reports to topic `metrics`."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if not 0 <= self.health_port <= 65535:
            yield f"process.health_port: expected 0 to 65535, got {self.health_port}; choose a free port"
        if self.report_every.total_seconds() <= 0:
            yield f"process.report_every: expected more than 0, got {self.report_every}; raise it"
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            yield f"process.log_level: expected DEBUG, INFO, WARNING or ERROR, got {self.log_level!r}; choose one"


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaConfig:
    """How to reach the broker and how topics are laid out."""

    bootstrap: str = "127.0.0.1:19092"
    """Host:port of one or more brokers, comma-separated."""
    topic_prefix: str = ""
    """Put before every topic's name; tests use it to be alone."""
    partitions: int = 2
    """Partitions of each partitioned topic; fixed for the life of the topics."""
    replication: int = 1
    """Replicas of each topic."""
    retention: timedelta = timedelta(days=30)
    """How long deleted topics keep messages: record time, so more than attribution window + 1 day."""
    ready_timeout: timedelta = timedelta(seconds=60)
    """Wall time that a process waits for the broker and its topics at start."""

    def topic(self, name: str) -> str:
        """Give the full name of a topic of springtide.contracts.topics."""
        return self.topic_prefix + name

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if ":" not in self.bootstrap:
            yield f"kafka.bootstrap: expected host:port, got {self.bootstrap!r}; add the port"
        if self.partitions < 1:
            yield f"kafka.partitions: expected at least 1, got {self.partitions}; raise it"
        if self.replication < 1:
            yield f"kafka.replication: expected at least 1, got {self.replication}; raise it"


LabelPolicy = Literal["close", "fast", "full"]
"""Which rows a slate gets. close: final. fast: observed and corrected. full: all three."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelsConfig:
    """When labels count. All of it is event time after the impression."""

    observation: dict[str, timedelta]
    """Per task: after this a missing label counts as a provisional negative."""
    attribution: dict[str, timedelta]
    """Per task: a label at this age still counts, a later one does not; after it a missing label is a negative."""
    allowed_lateness: timedelta
    """How far behind the newest event of its partition an event may arrive and still be in time."""
    max_advance: timedelta = timedelta(days=1)
    """One event may not move a partition's watermark by more; what lies further ahead is an outlier."""
    policy: LabelPolicy = "full"
    """close, fast or full."""
    ages: tuple[timedelta, ...] = ()
    """Ages at which a slate gets one more row each, of phase `aged`: for methods with several windows."""
    refund: timedelta = timedelta(days=7)
    """A refund up to this age takes its purchase back."""
    final_features: bool = False
    """Final rows carry the features that serving used; for a trainer that learns them as they come."""
    negative_keep: float = 1.0
    """Share of the items without any label that rows keep, 0 to 1; chosen by a hash of request and item."""

    @property
    def observed_age(self) -> timedelta:
        """Age at which a slate's observed row is due: the longest observation window."""
        return max(self.observation.values())

    @property
    def final_age(self) -> timedelta:
        """Age at which a slate's final row is due: the longest attribution window."""
        return max(self.attribution.values())

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        for name, windows in (("observation", self.observation), ("attribution", self.attribution)):
            if sorted(windows) != sorted(TASKS):
                wanted = ", ".join(TASKS)
                yield f"labels.{name}: expected a window for each of {wanted}, got {sorted(windows)}; complete it"
        for task in set(self.observation) & set(self.attribution):
            if self.observation[task] > self.attribution[task]:
                yield (
                    f"labels.observation.{task}: expected at most the attribution window "
                    f"({self.attribution[task]}), got {self.observation[task]}; lower it"
                )
        for age in self.ages:
            if not timedelta(0) <= age < self.final_age or self.ages.count(age) > 1:
                yield f"labels.ages: expected different ages of 0s to less than {self.final_age}, got {age}; change it"
        if self.refund < self.final_age:
            yield (
                f"labels.refund: expected at least the longest attribution window ({self.final_age}), "
                f"got {self.refund}; raise it"
            )
        if not 0.0 < self.negative_keep <= 1.0:
            yield f"labels.negative_keep: expected more than 0, up to 1, got {self.negative_keep}; 1 keeps all"
        if self.allowed_lateness < timedelta(0):
            yield f"labels.allowed_lateness: expected at least 0, got {self.allowed_lateness}; raise it"


@dataclass(frozen=True, kw_only=True, slots=True)
class BundlesConfig:
    """Section `[bundles]`: where trainer and serving meet."""

    folder: Path = Path("bundles")
    """Root of all bundles, `{root}/{chain}/{version}/`; beneath `process.state_folder` unless absolute."""

    def root(self, state_folder: Path) -> Path:
        """Give the root for a process's state folder."""
        return state_folder / self.folder
