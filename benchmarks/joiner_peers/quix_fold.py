# mypy: disable-error-code="import-not-found"
"""quix-streams with a fold written by hand: state per user, a slate an entry, the user's own watermark.

Slates that are due are looked up in a list per user; a user without further events is closed by a tick of his own.
"""

from typing import Any

from quixstreams import Application

from benchmarks.joiner_peers.rows import LATENESS_MS, WINDOW_MS, arguments, make_row, read_event, say_begun

bootstrap, prefix, _, folder = arguments()
app = Application(
    broker_address=bootstrap, consumer_group=f"{prefix}quix", auto_offset_reset="earliest", state_dir=folder
)
events = app.topic(f"{prefix}events", key_deserializer="bytes", value_deserializer="bytes")
samples = app.topic(f"{prefix}samples", key_serializer="bytes", value_serializer="bytes")
begun = False


def fold(value: bytes, state: Any) -> list[bytes]:
    """Take in one event of a user; give the rows that are now due."""
    global begun  # noqa: PLW0603
    if not begun:
        begun = True
        say_begun()
    event = read_event(value)
    newest, due = state.get("due", [0, []])
    newest = max(newest, event.event_time_ms)
    if event.type != "tick":
        entry = state.get(event.request_id) or {"labels": []}
        if event.type == "served":
            entry["served"] = value.decode()
        elif event.type == "impression":
            entry["impression"] = value.decode()
            due.append([event.event_time_ms + WINDOW_MS, event.request_id])
        else:
            entry["labels"].append([event.type, event.item_id, event.event_time_ms])
        state.set(event.request_id, entry)
    rows, kept = [], []
    for at, request_id in due:
        if at < newest - LATENESS_MS:
            entry = state.get(request_id)
            served, impression = read_event(entry["served"]), read_event(entry["impression"])
            rows.append(make_row(served, impression, entry["labels"]))
            state.delete(request_id)
        else:
            kept.append([at, request_id])
    state.set("due", [newest, kept])
    return rows


app.dataframe(events).apply(fold, stateful=True, expand=True).to_topic(samples)
app.run()
