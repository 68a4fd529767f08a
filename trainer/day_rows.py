"""A day's final rows with their features: as they were at each impression, from Feast, or as serving logged them."""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from springtide.contracts.errors import StateError
from springtide.contracts.samples import Sample
from trainer.archive import Archive, ArchivedPart
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
    partitions: dict[str, int]
    """Partition of `samples` that each request lies in."""

    def of_partition(self, partition: int) -> list[Sample]:
        """Return one partition's slates."""
        return [sample for sample in self.samples if self.partitions[sample.request_id] == partition]


class DayReader:
    """Reads days from Kafka in a thread of its own, so that the minute chain learns on meanwhile.

    Feast is opened when the first day needs it, since that takes seconds.
    """

    def __init__(self, config: TrainerConfig, feast_folder: Path, archive: Archive | None = None) -> None:
        self._config, self._feast_folder, self._archive = config, feast_folder, archive
        self._features: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="day")
        self._begun: tuple[int, Future[DayRows]] | None = None

    def begin(self, day: int, feed: LiveFeed) -> None:
        """Begin to read, and to archive, every final row of the day that the feed has seen in its partitions."""
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
        rows = self._joined(day, source, final_spans, fast_spans)
        if self._archive is None:
            return rows
        parts = [self._archive.write_part(day, each, rows.of_partition(each)) for each in sorted(source.offsets)]
        return dataclasses.replace(rows, report=dataclasses.replace(rows.report, archived=parts))

    def _joined(self, day: int, source: SampleSource, final_spans: Spans, fast_spans: Spans) -> DayRows:
        finals, partitions, repeated = _finals(day, source, final_spans)
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
        return DayRows(day=day, samples=samples, report=report, partitions=partitions)

    def _join(self, samples: list[Sample]) -> tuple[list[Sample], dict[str, Any]]:
        from trainer.moment_features import MomentFeatures

        if self._features is None:
            self._features = MomentFeatures(self._feast_folder)
        joined: tuple[list[Sample], dict[str, Any]] = self._features.join(samples)
        return joined


def archived_day(archive: Archive, day: int, parts: Sequence[ArchivedPart], share: float = 1.0) -> DayRows:
    """Return a day as `DayReader.take` gave it when these parts were archived.

    Args:
        archive: holds the day.
        day: its number.
        parts: of the day that are wanted.
        share: of their slates, 0 to 1, chosen by a hash of row ids; 1: all.

    Raises:
        StateError: a part is missing or damaged.
    """
    partitions: dict[str, int] = {}
    samples: list[Sample] = []
    for part in parts:
        found = [row for row in archive.read_part(day, part) if crc32(row.row_id.encode()) < share * 2**32]
        samples += found
        partitions |= dict.fromkeys((sample.request_id for sample in found), part.partition)
    rows = sum(len(sample.item_ids) for sample in samples)
    report = DayReport(slates=len(samples), rows=rows, without_logged=0, repeated=0, skew={})
    return DayRows(day=day, samples=samples, report=report, partitions=partitions)


def _finals(day: int, source: SampleSource, spans: Spans) -> tuple[dict[str, Sample], dict[str, int], int]:
    """Return the day's final rows by request, the partition of each, and how many were repeats."""
    finals: dict[str, Sample] = {}
    partitions: dict[str, int] = {}
    repeated = 0
    for partition, span in sorted(spans.items()):
        for sample in source.read({partition: span}):
            if sample.phase == "final" and day_of(sample.impression_time_ms) == day:
                repeated += sample.request_id in finals
                finals[sample.request_id] = sample
                partitions[sample.request_id] = partition
    return finals, partitions, repeated


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
