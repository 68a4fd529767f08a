"""Settings of the embedded stack: section `local_stack`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from local_stack.broker.config import BrokerConfig
from springtide.runtime.config import KafkaConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalStackConfig:
    """The embedded broker and the processes kept around it."""

    controller_port: int = 19093
    """TCP port of the broker's KRaft controller; only the broker itself uses it."""
    broker_heap_mib: int = 512
    """Java heap of the broker, MiB."""
    free_disk_mib: int = 2048
    """Refuse to start with less free room than this for the state, MiB."""
    health_port_base: int = 18100
    """The first process answers /health and /metrics here, the next on the port after it."""
    ready_timeout: timedelta = timedelta(minutes=3)
    """Wall time that one process may take to become ready; more ends the start."""
    drain_timeout: timedelta = timedelta(minutes=2)
    """Wall time after the simulator's end in which the streams' backlog must shrink."""
    poll_every: timedelta = timedelta(seconds=1)
    """Wall time between two looks at the processes."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if not 0 < self.controller_port < 65536:
            yield f"local_stack.controller_port: expected 1 to 65535, got {self.controller_port}; choose a free port"
        if not 1024 <= self.health_port_base < 65500:
            yield (
                f"local_stack.health_port_base: expected 1024 to 65499, got {self.health_port_base}; "
                "choose a port with free ones after it"
            )
        if self.broker_heap_mib < 128:
            yield f"local_stack.broker_heap_mib: expected at least 128, got {self.broker_heap_mib}; raise it"
        if self.poll_every <= timedelta(0):
            yield f"local_stack.poll_every: expected more than 0, got {self.poll_every}; raise it"

    def broker(self, kafka: KafkaConfig) -> BrokerConfig:
        """Return the broker's own settings; its port is the one that every process connects to."""
        return BrokerConfig(
            port=int(kafka.bootstrap.rpartition(":")[2]),
            controller_port=self.controller_port,
            heap_mib=self.broker_heap_mib,
            free_disk_mib=self.free_disk_mib,
            ready_timeout_s=self.ready_timeout.total_seconds(),
        )
