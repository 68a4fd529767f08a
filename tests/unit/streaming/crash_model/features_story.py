"""The real feature jobs in the model: two partitions of `events`, then the items' partition of what those told."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import timedelta

import msgspec

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent
from springtide.contracts.features import FeatureRow
from springtide.contracts.topics import FEATURES
from streaming.config import FeaturesConfig
from streaming.core import Core, Message, Record
from streaming.features.item_job import ItemFeatures
from streaming.features.state import PARTIALS_TOPIC
from streaming.features.user_job import UserFeatures
from tests.oracles.core_driver import as_records
from tests.oracles.streams import HOUR, LABELS, MINUTE, disorder, make_events, with_ticks
from tests.unit.streaming.crash_model.process import SOUND, Protocol
from tests.unit.streaming.crash_model.runs import Run
from tests.unit.streaming.crash_model.verdict import Verdict

PARTITIONS = 2
CRASHES = 8
CONFIG = FeaturesConfig(trigger_records=35, remember=timedelta(hours=2))
CATALOGUE = {f"i{number}": (f"c{number % 3}", float(number)) for number in range(7)}
DAYS = 8


class FeatureStory:
    """One seed: its events, and the rows that they give, crashed or not."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.events: list[AnyEvent] = make_events(seed, slates=8, users=4)

    def rows(self, protocol: Protocol = SOUND, crashes: int = 0) -> list[FeatureRow]:
        """Run both jobs to the end of all windows."""
        said, told = list[Message](), list[Message]()
        for partition in range(PARTITIONS):
            for message in self._run(_users(partition), self._log(partition), protocol, crashes):
                (said if message.topic == FEATURES.name else told).append(message)
        for partition in range(PARTITIONS):
            said += self._run(_items(partition), _partials(told, partition), protocol, crashes)
        return [msgspec.json.decode(message.value, type=FeatureRow) for message in said]

    def _run(self, make: Callable[[], Core], log: list[Record], protocol: Protocol, crashes: int) -> list[Message]:
        commit_every = random.Random(self.seed).choice([1, 3, 15])
        return Run(make, log, self.seed, protocol, commit_every).crash_at_random(crashes)

    def _log(self, partition: int) -> list[Record]:
        mine = [event for event in self.events if int(event.user_id[1:]) % PARTITIONS == partition]
        order = disorder([*mine, *mine], self.seed, 5 * MINUTE)
        return as_records(with_ticks(order, partition, every_ms=HOUR, until_ms=DAYS * 24 * HOUR)) if mine else []


def judge_rows(said: list[FeatureRow], wanted: list[FeatureRow]) -> Verdict:
    """Compare with the run without a crash what is known of each entity at every moment of a row of either.

    A crash may repeat a row, and say one at a moment at which nothing changed; it may change nothing that is known.
    """
    found, right = _by_entity(said), _by_entity(wanted)
    verdict = Verdict(lost=len(right.keys() - found.keys()), unexpected=len(found.keys() - right.keys()))
    verdict.conflicts = sum(
        len({encode(row) for row in rows}) - 1 for by_time in found.values() for rows in by_time.values()
    )
    for entity in found.keys() & right.keys():
        moments = sorted(found[entity].keys() | right[entity].keys())
        verdict.conflicts += sum(_known(found[entity], at) != _known(right[entity], at) for at in moments)
    return verdict


def _by_entity(rows: list[FeatureRow]) -> dict[tuple[str, str], dict[int, list[FeatureRow]]]:
    found: defaultdict[tuple[str, str], defaultdict[int, list[FeatureRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.entity, row.entity_id][row.event_time_ms].append(row)
    return dict(found)


def _known(by_time: Mapping[int, list[FeatureRow]], at_ms: int) -> FeatureRow | None:
    """Give the newest row of an entity at a moment, without its own; None for one that tells nothing."""
    newest = max((time for time in by_time if time <= at_ms), default=None)
    if newest is None:
        return None
    row = by_time[newest][-1]
    return msgspec.structs.replace(row, event_time_ms=0) if any(row.values.values()) else None


def _users(partition: int) -> Callable[[], Core]:
    return lambda: UserFeatures(
        partition=partition,
        partitions=PARTITIONS,
        labels=LABELS,
        config=CONFIG,
        outlier_run=20,
        catalogue=CATALOGUE.get,
    )


def _items(partition: int) -> Callable[[], Core]:
    return lambda: ItemFeatures(partition=partition, partitions=PARTITIONS, config=CONFIG)


def _partials(told: list[Message], partition: int) -> list[Record]:
    assert all(message.topic == PARTIALS_TOPIC for message in told)
    mine = [message for message in told if message.partition == partition]
    return [Record(offset, message.key, message.value) for offset, message in enumerate(mine)]
