"""The same events twice: in order for an oracle, per partition and out of order for the stream."""

from collections.abc import Iterator

import msgspec

from springtide.contracts.events import AnyEvent
from springtide.runtime.config import KafkaConfig
from tests.integration.streaming.worker_process import committed
from tests.oracles.streams import HOUR, disorder, make_events, with_ticks

Streams = dict[int, list[AnyEvent]]
"""Events by partition."""
START_MS = 1_700_000_000_000
SLATES_PER_DAY = 30


def make_traffic(
    seed: int, slates: int, partitions: int = 2, until_ms: int = 60 * HOUR
) -> tuple[list[AnyEvent], Streams]:
    """Make events of a few hours, and each partition's log with ticks until `until_ms` after the last of them."""
    events = make_events(seed, slates=slates, users=20)
    return events, _streams(events, seed, partitions, until_ms)


def make_days(seed: int, days: int, partitions: int = 2) -> tuple[list[AnyEvent], Streams]:
    """Make events of many days, so that windows open and close all along the logs."""
    events: list[AnyEvent] = []
    for day in range(days):
        start_ms = START_MS + day * 24 * HOUR
        events += [
            _renamed(event, day)
            for event in make_events(seed + day, slates=SLATES_PER_DAY, users=20, start_ms=start_ms)
        ]
    events.sort(key=lambda event: (event.event_time_ms, event.event_id))
    return events, _streams(events, seed, partitions, 60 * HOUR)


def _renamed(event: AnyEvent, day: int) -> AnyEvent:
    names = {"event_id": f"{day}/{event.event_id}"}
    request_id = getattr(event, "request_id", "")
    return msgspec.structs.replace(event, **names, **({"request_id": f"{day}/{request_id}"} if request_id else {}))


def home_of(user_id: str, partitions: int) -> int:
    """Say which partition holds a user's events; by number, so that every partition has some."""
    return int(user_id[1:]) % partitions


def _streams(events: list[AnyEvent], seed: int, partitions: int, until_ms: int) -> Streams:
    by_partition: Streams = {number: [] for number in range(partitions)}
    for event in events:
        by_partition[home_of(event.user_id, partitions)].append(event)
    return {
        number: with_ticks(disorder(part, seed), number, every_ms=1_800_000, until_ms=until_ms)
        for number, part in by_partition.items()
    }


def in_parts(streams: Streams, parts: int) -> Iterator[Streams]:
    """Cut the logs into so many parts of equal length."""
    for part in range(parts):
        yield {
            number: events[len(events) * part // parts : len(events) * (part + 1) // parts]
            for number, events in streams.items()
        }


def early_labels(streams: Streams) -> int:
    """Count labels that come before the impression of their slate."""
    count = 0
    for events in streams.values():
        shown: set[str] = set()
        for event in events:
            request_id = getattr(event, "request_id", "")
            if type(event).__name__ == "Impression":
                shown.add(request_id)
            elif type(event).__name__ in ("Click", "Cart", "Purchase") and request_id and request_id not in shown:
                count += 1
    return count


def is_done(kafka: KafkaConfig, sent: Streams, group: str) -> bool:
    """True when all but what follows the last trigger is committed."""
    done = committed(kafka, group)
    return all(done[number] >= len(events) - 49 for number, events in sent.items())
