"""A day's final rows with their features: as they were at each impression, from Feast, or as serving logged them."""

import dataclasses
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from springtide.contracts.errors import StateError
from springtide.contracts.samples import Sample
from trainer.config import TrainerConfig
from trainer.days import day_of
from trainer.live_feed import LiveFeed
from trainer.logged_features import logged_features
from trainer.messages import DayReport
from trainer.sample_index import Kind
from trainer.sample_source import SampleSource

_log = logging.getLogger(__name__)

Spans = dict[int, tuple[int, int]]
"""Offsets [first, end) per partition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayRows:
    """What a rank holds of a day."""

    day: int
    samples: list[Sample]
    report: DayReport


class DayReader:
    """Reads days from Kafka in a thread of its own, so that the minute chain learns on meanwhile.

    Feast is opened when the first day needs it, since that takes seconds.
    """

    def __init__(self, config: TrainerConfig, feast_folder: Path) -> None:
        self._config, self._feast_folder = config, feast_folder
        self._features: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="day")
        self._begun: tuple[int, Future[DayRows]] | None = None

    def begin(self, day: int, feed: LiveFeed) -> None:
        """Begin to read every final row of the day that the feed has seen in its partitions."""
        finals, fast = _spans(day, "final", feed), _spans(day, "fast", feed)  # now: the feed reads on
        self._begun = day, self._thread.submit(self._read, day, feed.source, finals, fast)

    def ready(self) -> bool:
        """Tell whether `take` need not wait."""
        return self._begun is not None and self._begun[1].done()

    def take(self, day: int) -> DayRows:
        """Return the rows of the day begun last.

        Raises:
            StateError: another day was begun, or none.
        """
        if self._begun is None or self._begun[0] != day:
            raise StateError(f"trainer: expected day {day} to be begun, got {self._begun}; call begin_day first")
        rows = self._begun[1].result()
        self._begun = None
        return rows

    def _read(self, day: int, source: SampleSource, final_spans: Spans, fast_spans: Spans) -> DayRows:
        finals, repeated = _finals(day, source.read(final_spans))
        logged = _logged(source.read(fast_spans), set(finals))
        samples = []
        for request, final in finals.items():
            features = logged_features(final, logged.get(request, []))
            if features is not None:
                samples.append(msgspec.structs.replace(final, features=features))
        without = len(finals) - len(samples)
        if without:
            _log.warning("day %d: %d of %d final slates lack features of theirs", day, without, len(finals))
        report = DayReport(
            slates=len(samples),
            rows=sum(len(sample.item_ids) for sample in samples),
            without_logged=without,
            repeated=repeated,
            skew={},
        )
        if self._config.daily_features == "feast" and samples:
            samples, skew = self._join(samples)
            report = dataclasses.replace(report, skew=skew)
        return DayRows(day=day, samples=samples, report=report)

    def _join(self, samples: list[Sample]) -> tuple[list[Sample], dict[str, Any]]:
        from trainer.moment_features import MomentFeatures

        if self._features is None:
            self._features = MomentFeatures(self._feast_folder)
        joined: tuple[list[Sample], dict[str, Any]] = self._features.join(samples)
        return joined


def _finals(day: int, samples: Iterator[Sample]) -> tuple[dict[str, Sample], int]:
    """Return the day's final rows by request, and how many were repeats."""
    finals: dict[str, Sample] = {}
    repeated = 0
    for sample in samples:
        if sample.phase == "final" and day_of(sample.impression_time_ms) == day:
            repeated += sample.request_id in finals
            finals[sample.request_id] = sample
    return finals, repeated


def _logged(samples: Iterator[Sample], requests: set[str]) -> dict[str, list[Sample]]:
    """Return the rows of those requests that carry features."""
    logged: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.features is not None and sample.request_id in requests:
            logged.setdefault(sample.request_id, []).append(sample)
    return logged


def _spans(day: int, kind: Kind, feed: LiveFeed) -> Spans:
    found = {partition: feed.index.span(partition, kind, day, day) for partition in feed.source.offsets}
    return {partition: span for partition, span in found.items() if span is not None}
