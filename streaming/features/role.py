"""The role `features`: users from `events`, items from what the users' jobs tell."""

from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client.core import Metric

from springtide.contracts.topics import CATALOGUE, EVENTS, FEATURES
from springtide.runtime.command_line import Runtime
from streaming.core import Core
from streaming.event_clock import as_clock
from streaming.features.catalogue import CatalogueReader
from streaming.features.item_job import ItemFeatures
from streaming.features.metrics import read_features
from streaming.features.state import PARTIALS_TOPIC
from streaming.features.user_job import UserFeatures
from streaming.role import Cores
from streaming.shell.job import JobSpec


class FeaturesRole:
    """Counts `events` into `features`; see streaming/role.py."""

    name = "features"
    needs: Sequence[str] = (EVENTS.name, FEATURES.name, CATALOGUE.name)
    internal: Sequence[str] = (PARTIALS_TOPIC,)

    def __init__(self, runtime: Runtime) -> None:
        sections, partitions = runtime.sections, runtime.kafka.partitions
        self._catalogue = CatalogueReader(runtime.kafka)

        def users(partition: int) -> UserFeatures:
            return UserFeatures(
                partition=partition,
                partitions=partitions,
                labels=sections["labels"],
                config=sections["features"],
                outlier_run=sections["joiner"].outlier_run,
                catalogue=self._catalogue.get,
            )

        def items(partition: int) -> ItemFeatures:
            return ItemFeatures(partition=partition, partitions=partitions, config=sections["features"])

        self.specs: Sequence[JobSpec[Any]] = (
            JobSpec(name="features", topic=EVENTS.name, make=users, after_trigger=_nothing),
            JobSpec(name="item-features", topic=PARTIALS_TOPIC, make=items, after_trigger=_nothing),
        )

    def start(self) -> None:
        """Read the catalogue first: clicks are counted by its categories."""
        self._catalogue.start()

    def stop(self) -> None:
        """End the catalogue's thread."""
        self._catalogue.stop()

    def read(self, cores: Cores) -> Iterable[Metric]:
        """Read events, rows and what is kept."""
        return read_features(_users(cores), _items(cores), self._catalogue.unreadable)

    def line(self, cores: Cores) -> str:
        """Tell watermark, entities and rows."""
        users, items = _users(cores), _items(cores)
        marks = [core.watermark_ms for core in users if core.watermark_ms is not None]
        rows = sum(core.rows for core in users) + sum(core.rows for core in items)
        known = f"{sum(core.known for core in users):,} users, {sum(core.known for core in items):,} items"
        return f"watermark {as_clock(min(marks, default=None))}, {known}, {rows:,} rows"


def _nothing(_core: Core, _wall_seconds: float) -> None:
    """These jobs keep no histograms."""


def _users(cores: Cores) -> list[UserFeatures]:
    return [core for core in cores["features"] if isinstance(core, UserFeatures)]


def _items(cores: Cores) -> list[ItemFeatures]:
    return [core for core in cores["item-features"] if isinstance(core, ItemFeatures)]
