"""Topic `metrics`: each process tells what its Prometheus registry holds, about once a second, keyed by process."""

import msgspec

from springtide.contracts.bundle import ModelSwap


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at a moment and belongs on every chart: an alarm, a fault, a ramp, a day boundary."""

    kind: str
    text: str
    event_time_ms: int
    wall_time_ms: int
    task: str = ""


class ProcessReport(msgspec.Struct, frozen=True, kw_only=True):
    """One process at one moment."""

    process: str
    instance: str
    sequence: int
    wall_time_ms: int
    ready: bool
    status: str
    samples: dict[str, float]
    """Prometheus sample name with labels, `name{label="value"}`, to value; only names beginning `springtide_`."""
    marks: list[Mark] = []
    swaps: list[ModelSwap] = []
    schema_version: int = 1
