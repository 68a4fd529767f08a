# mypy: disable-error-code="import-not-found"
"""bytewax: events collected per request in a session window in event time, with recovery snapshots on disk."""

import datetime
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, SessionWindower, collect_window
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from benchmarks.joiner_peers.rows import LATENESS_MS, WINDOW_MS, Event, arguments, make_row, read_event, say_begun

bootstrap, prefix, partitions, folder = arguments()
begun = False


def keyed(message: Any) -> tuple[str, Event] | None:
    """Key an event by its request."""
    global begun  # noqa: PLW0603
    if not begun:
        begun = True
        say_begun()
    event = read_event(message.value)
    return (event.request_id, event) if event.type != "tick" else None


def time_of(event: Event) -> datetime.datetime:
    """Give an event's time."""
    return datetime.datetime.fromtimestamp(event.event_time_ms / 1000, datetime.UTC)


def joined(window: tuple[str, tuple[int, list[Event]]]) -> KafkaSinkMessage[bytes, bytes] | None:
    """Make the row of a closed window; None when its slate or impression is not in it."""
    request_id, (_, events) = window
    by_type = {event.type: event for event in events}
    if "served" not in by_type or "impression" not in by_type:
        return None
    labels = [(event.type, event.item_id, event.event_time_ms) for event in events]
    return KafkaSinkMessage(request_id.encode(), make_row(by_type["served"], by_type["impression"], labels))


clock = EventClock(time_of, wait_for_system_duration=datetime.timedelta(milliseconds=LATENESS_MS))
windower = SessionWindower(gap=datetime.timedelta(milliseconds=WINDOW_MS))
flow = Dataflow("join")
read = op.input("read", flow, KafkaSource([bootstrap], [f"{prefix}events"], tail=False))
windows = collect_window("window", op.filter_map("key", read, keyed), clock, windower)
op.output("write", op.filter_map("join", windows.down, joined), KafkaSink([bootstrap], f"{prefix}samples"))

Path(folder).mkdir(parents=True, exist_ok=True)
init_db_dir(Path(folder), partitions)
cluster_main(
    flow,
    [],
    0,
    epoch_interval=datetime.timedelta(seconds=5),
    recovery_config=RecoveryConfig(folder),
    worker_count_per_proc=1,
)
