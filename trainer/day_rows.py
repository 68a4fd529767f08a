"""A day's final rows with their features: as they were at each impression, from Feast, or as serving logged them."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from springtide.contracts.samples import Sample
from trainer.archive import Archive, ArchivedPart
from trainer.config import TrainerConfig
from trainer.days import day_of
from trainer.live_feed import LiveFeed
from trainer.logged_features import logged_features
from trainer.messages import DayReport

_log = logging.getLogger(__name__)


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
    """Reads days from Kafka; opens Feast when the first day needs it, since that takes seconds."""

    def __init__(self, config: TrainerConfig, feast_folder: Path) -> None:
        self._config, self._feast_folder = config, feast_folder
        self._features: Any = None

    def read(self, day: int, feed: LiveFeed) -> DayRows:
        """Return every final row of the day in the partitions of the feed."""
        finals, partitions, repeated = _finals(day, feed)
        logged = _logged(day, feed, set(finals))
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
    """Return a day as `DayReader.read` gave it before these parts were archived.

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


def _finals(day: int, feed: LiveFeed) -> tuple[dict[str, Sample], dict[str, int], int]:
    """Return the day's final rows by request, the partition of each, and how many were repeats."""
    finals: dict[str, Sample] = {}
    partitions: dict[str, int] = {}
    repeated = 0
    for partition, span in sorted(_spans(day, "final", feed).items()):
        for sample in feed.source.read({partition: span}):
            if sample.phase == "final" and day_of(sample.impression_time_ms) == day:
                repeated += sample.request_id in finals
                finals[sample.request_id] = sample
                partitions[sample.request_id] = partition
    return finals, partitions, repeated


def _logged(day: int, feed: LiveFeed, requests: set[str]) -> dict[str, list[Sample]]:
    """Return the rows of those requests that carry features."""
    logged: dict[str, list[Sample]] = {}
    for sample in feed.source.read(_spans(day, "fast", feed)):
        if sample.features is not None and sample.request_id in requests:
            logged.setdefault(sample.request_id, []).append(sample)
    return logged


def _spans(day: int, kind: Any, feed: LiveFeed) -> dict[int, tuple[int, int]]:
    found = {partition: feed.index.span(partition, kind, day, day) for partition in feed.source.offsets}
    return {partition: span for partition, span in found.items() if span is not None}
