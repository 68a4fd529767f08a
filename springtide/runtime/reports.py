"""Publishes the process's Prometheus samples, marks and swaps to topic `metrics`, about once a second."""

import logging
import threading

from prometheus_client import REGISTRY

from springtide.contracts.bundle import ModelSwap
from springtide.contracts.codec import encode
from springtide.contracts.reports import Mark, ProcessReport
from springtide.contracts.topics import METRICS
from springtide.runtime.clock import Clock, SystemClock
from springtide.runtime.config import KafkaConfig, ProcessConfig
from springtide.runtime.health import Health
from springtide.runtime.kafka import make_producer

_log = logging.getLogger(__name__)


def registry_samples(prefix: str = "springtide_") -> dict[str, float]:
    """Read every sample whose name begins with `prefix`, labels in the key as Prometheus writes them."""
    found = {}
    for family in REGISTRY.collect():
        if not family.name.startswith(prefix):
            continue
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


class Reporter:
    """A daemon thread that reports; `mark` and `swap` may be called from any thread."""

    def __init__(self, process: ProcessConfig, kafka: KafkaConfig, health: Health, clock: Clock | None = None) -> None:
        self._config, self._kafka, self._health = process, kafka, health
        self._clock = clock or SystemClock()
        self._instance = process.instance or f"{health.process}-0"
        self._lock = threading.Lock()
        self._marks: list[Mark] = []
        self._swaps: list[ModelSwap] = []
        self._sequence = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Begin reporting."""
        self._thread.start()

    def mark(self, kind: str, text: str, event_time_ms: int, task: str = "") -> None:
        """Put something on every chart."""
        mark = Mark(kind=kind, text=text, event_time_ms=event_time_ms, wall_time_ms=self._clock.now_ms(), task=task)
        with self._lock:
            self._marks.append(mark)

    def swap(self, swap: ModelSwap) -> None:
        """Tell of a model swap, taken or refused."""
        with self._lock:
            self._swaps.append(swap)

    def stop(self) -> None:
        """Send a last report and end the thread."""
        self._stop.set()
        self._thread.join(timeout=5)

    def report(self) -> ProcessReport:
        """Take what is to be told now."""
        with self._lock:
            marks, self._marks = self._marks, []
            swaps, self._swaps = self._swaps, []
        self._sequence += 1
        state = self._health.snapshot()
        return ProcessReport(
            process=self._health.process,
            instance=self._instance,
            sequence=self._sequence,
            wall_time_ms=self._clock.now_ms(),
            ready=state["ready"],
            status=state["status"],
            samples=registry_samples(),
            marks=marks,
            swaps=swaps,
        )

    def _run(self) -> None:
        producer = make_producer(self._kafka, linger_ms=0)
        topic, key = self._kafka.topic(METRICS.name), self._health.process.encode()
        try:
            while True:
                last = self._stop.wait(self._config.report_every.total_seconds())
                producer.send(topic, key=key, value=encode(self.report()))
                if last:
                    return
        finally:
            producer.close(timeout=2)
