"""What a role of the process brings: its jobs, the topics around them, its numbers and its line of progress."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client.core import Metric

from streaming.core import Core
from streaming.shell.job import JobSpec

Cores = Mapping[str, Sequence[Core]]
"""The cores that live now, by their job's name."""


class Role(Protocol):
    """One of the roles that `streaming.role` chooses from."""

    @property
    def name(self) -> str:
        """Name of the role, part of its consumer group and changelogs."""
        ...

    @property
    def needs(self) -> Sequence[str]:
        """Topics that must exist."""
        ...

    @property
    def internal(self) -> Sequence[str]:
        """Topics that it makes for itself."""
        ...

    @property
    def specs(self) -> Sequence[JobSpec[Any]]:
        """Its jobs."""
        ...

    def start(self) -> None:
        """Begin what must run before the jobs."""
        ...

    def stop(self) -> None:
        """End it."""
        ...

    def read(self, cores: Cores) -> Iterable[Metric]:
        """Read its numbers."""
        ...

    def line(self, cores: Cores) -> str:
        """Tell its progress."""
        ...
