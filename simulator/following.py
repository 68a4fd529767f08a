"""Keeps the story from running away from the system: how far each stage has come, as told on topic `metrics`."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from simulator.live_metrics import IMPATIENT, WAITED
from springtide.contracts.metric_names import TRAIN_NEWEST, WATERMARK
from springtide.contracts.reports import ProcessReport
from springtide.contracts.topics import METRICS
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer
from springtide.runtime.settings import milliseconds

_log = logging.getLogger(__name__)
_SIGNS: Final = {
    "joiner": re.compile(re.escape(WATERMARK) + r'\{.*stage="joiner"'),
    "features": re.compile(re.escape(WATERMARK) + r'\{.*stage="[^"]*features[^"]*"'),
    "trainer": re.compile(re.escape(TRAIN_NEWEST) + r'\{.*chain="minute"'),
}
"""Sample by which a stage tells how far it has come, seconds of event time."""


def reached_ms(samples: Mapping[str, float], stage: str) -> int | None:
    """Read how far a stage has come from a report: its slowest partition; None: the report is of another process."""
    found = [value for key, value in samples.items() if _SIGNS[stage].match(key)]
    return round(min(found) * 1000) if found else None


class Follower:
    """Reads reports; `wait` blocks while a stage is too far behind."""

    def __init__(
        self, consumer: Any, follow: Mapping[str, timedelta], patience: timedelta, start_ms: int, last_slate_ms: int
    ) -> None:
        """`consumer` reads topic `metrics`; None: nothing waits. After `last_slate_ms` there is nothing to learn."""
        self._consumer = consumer
        self._lags = {stage: milliseconds(lag) for stage, lag in follow.items()}
        self._patience_s = patience.total_seconds()
        self._reached = dict.fromkeys(follow, start_ms)
        self._granted = dict.fromkeys(follow, 0)
        self._last_slate_ms = last_slate_ms

    def wait(self, now_ms: int, stopped: Callable[[], bool], waiting: Callable[[str], None]) -> None:
        """Block until no stage is further behind than allowed, or the end is asked for.

        A stage that makes no progress is granted a quarter of its lag more, so that nobody waits for ever for a
        stage that itself waits for more events.
        """
        if self._consumer is None:
            return
        self._read(0)
        since = begun = time.monotonic()
        while (stage := self._behind(now_ms)) and not stopped():
            waiting(f"{stage}: {(now_ms - self._reached[stage]) / 3_600_000:.1f} h of event time behind")
            before = self._reached[stage]
            self._read(100)
            moment = time.monotonic()
            WAITED.labels(stage=stage).inc(moment - begun)
            begun = moment
            if self._reached[stage] > before:
                since = moment
            elif moment - since > self._patience_s:
                IMPATIENT.labels(stage=stage).inc()
                self._granted[stage] += self._lags[stage] // 4
                _log.warning("%s makes no progress in %.0f s; the story goes on a little", stage, self._patience_s)
                since = moment

    def _behind(self, now_ms: int) -> str | None:
        for stage, lag in self._lags.items():
            expected_ms = min(now_ms, self._last_slate_ms) if stage == "trainer" else now_ms
            if expected_ms - self._reached[stage] > lag + self._granted[stage]:
                return stage
        return None

    def _read(self, timeout_ms: int) -> None:
        for records in self._consumer.poll(timeout_ms=timeout_ms).values():
            for record in records:
                try:
                    report = msgspec.json.decode(record.value, type=ProcessReport)
                except msgspec.DecodeError as error:
                    _log.warning("metrics: expected a report, got %s; passed over", error)
                    continue
                self.take(report.samples)

    def take(self, samples: Mapping[str, float]) -> None:
        """Take in one report."""
        for stage in self._reached:
            reached = reached_ms(samples, stage)
            if reached is not None and reached > self._reached[stage]:
                self._reached[stage], self._granted[stage] = reached, 0

    def close(self) -> None:
        """Let the connection go."""
        if self._consumer is not None:
            self._consumer.close()


def follow_reports(
    kafka: KafkaConfig, follow: Mapping[str, timedelta], patience: timedelta, start_ms: int, last_slate_ms: int
) -> Follower:
    """Make a follower that reads topic `metrics` from now on."""
    consumer = make_consumer(kafka, [kafka.topic(METRICS.name)], from_start=False) if follow else None
    return Follower(consumer, follow, patience, start_ms, last_slate_ms)
