"""Faust as its tutorial has it: one agent, one table, a table write per event; orphan labels are kept."""

import heapq
import logging
import sys
from collections import defaultdict
from typing import Any

import faust

from benchmarks.joiner_peers.rows import LATENESS_MS, WINDOW_MS, arguments, make_row, read_event, say_begun

bootstrap, prefix, partitions, folder = arguments()
logging.disable(logging.DEBUG)
app = faust.App(
    f"{prefix}tutorial", broker=f"kafka://{bootstrap}", store="memory://", datadir=folder, web_enabled=False,
    topic_partitions=partitions, consumer_auto_offset_reset="earliest", topic_disable_leader=True,
)  # fmt: skip
raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
events = app.topic(f"{prefix}events", **raw)
samples = app.topic(f"{prefix}samples", **raw)
slates: Any = app.Table("slates", partitions=partitions)
newest: defaultdict[int, int] = defaultdict(int)
due: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)


@app.agent(events)  # type: ignore[untyped-decorator]
async def join(stream: Any) -> None:
    """Keep each event with its slate, and send the rows that are due."""
    begun = False
    async for one in stream.events():
        if not begun:
            begun = True
            say_begun()
        value, partition = one.value, one.message.partition
        event = read_event(value)
        newest[partition] = max(newest[partition], event.event_time_ms)
        if event.type != "tick":
            entry = slates.get(event.request_id) or {"labels": []}
            if event.type == "served":
                entry["served"] = value.decode()
            elif event.type == "impression":
                entry["impression"] = value.decode()
                heapq.heappush(due[partition], (event.event_time_ms + WINDOW_MS, event.request_id))
            else:
                entry["labels"].append([event.type, event.item_id, event.event_time_ms])
            slates[event.request_id] = entry
        while due[partition] and due[partition][0][0] < newest[partition] - LATENESS_MS:
            _, request_id = heapq.heappop(due[partition])
            entry = slates.pop(request_id)
            row = make_row(read_event(entry["served"]), read_event(entry["impression"]), entry["labels"])
            await samples.send(key=request_id.encode(), value=row)


sys.argv = [sys.argv[0], "worker", "-l", "warn"]
app.main()
