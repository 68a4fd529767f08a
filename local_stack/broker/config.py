"""Settings of the embedded broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerConfig:
    """One Kafka node, broker and controller in one, on loopback."""

    port: int = 9092
    """TCP port for clients."""

    controller_port: int = 9093
    """TCP port of the KRaft controller, used by the broker itself only."""

    heap_mib: int = 512
    """Java heap, MiB. The rest of the machine's memory serves as page cache."""

    free_disk_mib: int = 1024
    """Refuse to start with less room than this where the logs go, MiB."""

    ready_timeout_s: float = 90.0
    """Give up when the broker does not answer within this time, seconds."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence for each rule these values break."""
        for name, port in (("port", self.port), ("controller_port", self.controller_port)):
            if not 0 < port < 65536:
                yield f"broker.{name}: expected 1 to 65535, got {port}; choose a free port"
        if self.port == self.controller_port:
            yield f"broker.controller_port: expected another port than {self.port}; change one"
        if self.heap_mib < 128:
            yield f"broker.heap_mib: expected at least 128, got {self.heap_mib}; raise it"
