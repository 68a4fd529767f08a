"""Reads the Prometheus samples of the kept processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from prometheus_client.parser import text_string_to_metric_families

from local_stack.processes import Process

_TIMEOUT_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One number that one process exposes."""

    process: str
    name: str
    labels: Mapping[str, str]
    value: float


def read_samples(processes: Sequence[Process]) -> list[Sample]:
    """Return every `springtide_` sample of every process that answers."""
    with ThreadPoolExecutor(max_workers=max(1, len(processes))) as pool:
        texts = pool.map(lambda one: _metrics_text(one.health_port), processes)
        return [
            sample
            for process, text in zip(processes, texts, strict=True)
            for sample in parse_samples(process.name, text)
        ]


def parse_samples(process: str, text: str) -> list[Sample]:
    """Return the `springtide_` samples in a Prometheus text page."""
    return [
        Sample(process=process, name=sample.name, labels=sample.labels, value=sample.value)
        for family in text_string_to_metric_families(text)
        if family.name.startswith("springtide_")
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def total(samples: Iterable[Sample], name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that carry these labels; 0 when there is none."""
    return sum(
        one.value
        for one in samples
        if one.name == name and all(one.labels.get(key) == value for key, value in labels.items())
    )


def _metrics_text(port: int) -> str:
    if not port:
        return ""
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except (OSError, HTTPException):
        return ""  # a process that has ended has no numbers
    finally:
        connection.close()
