"""The same events twice: in order for an oracle, per partition and out of order for the stream."""

from springtide.contracts.events import AnyEvent
from springtide.runtime.config import KafkaConfig
from tests.integration.streaming.worker_process import committed
from tests.oracles.streams import HOUR, disorder, make_events, with_ticks


def make_traffic(
    seed: int, slates: int, partitions: int = 2, until_ms: int = 60 * HOUR
) -> tuple[list[AnyEvent], dict[int, list[AnyEvent]]]:
    """Make events, and each partition's log with ticks until `until_ms` after the last of them."""
    events = make_events(seed, slates=slates, users=20)
    by_partition: dict[int, list[AnyEvent]] = {number: [] for number in range(partitions)}
    for event in events:
        by_partition[int(event.user_id[1:]) % partitions].append(event)
    streams = {
        number: with_ticks(disorder(part, seed), number, every_ms=1_800_000, until_ms=until_ms)
        for number, part in by_partition.items()
    }
    return events, streams


def is_done(kafka: KafkaConfig, sent: dict[int, list[AnyEvent]], group: str) -> bool:
    """True when all but what follows the last trigger is committed."""
    done = committed(kafka, group)
    return all(done[number] >= len(events) - 49 for number, events in sent.items())
