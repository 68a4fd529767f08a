"""What every peer does alike: read an event of ours, and make the one row of a slate whose window has closed.

It runs inside a peer's own virtual environment, which has msgspec and nothing else of ours. A peer makes one row a
slate and no other; the joiner makes an observed row, a final row and corrections.
"""

import sys
import time
from typing import Any, Final

import msgspec

WINDOW_MS: Final = 30 * 60_000
LATENESS_MS: Final = 5 * 60_000
TASKS: Final = ("click", "cart", "purchase")


class Event(msgspec.Struct, frozen=True):
    """The fields of an event that a join needs."""

    type: str
    event_id: str
    user_id: str
    event_time_ms: int
    request_id: str = ""
    item_id: str = ""
    positions: list[int] = []
    item_ids: list[str] = []
    features: msgspec.Raw = msgspec.Raw(b"null")


class Row(msgspec.Struct, frozen=True):
    """One joined slate."""

    request_id: str
    user_id: str
    item_ids: list[str]
    labels: dict[str, list[int]]
    features: msgspec.Raw


read_event: Final = msgspec.json.Decoder(Event).decode
encode: Final = msgspec.json.Encoder().encode


def make_row(served: Event, impression: Event, labels: list[tuple[str, str, int]]) -> bytes:
    """Make a slate's row from its events; labels are task, item, time."""
    shown = [served.item_ids[position - 1] for position in impression.positions]
    column = {item_id: index for index, item_id in enumerate(shown)}
    made: dict[str, list[int]] = {task: [0] * len(shown) for task in TASKS}
    for task, item_id, time_ms in labels:
        if item_id in column and time_ms - impression.event_time_ms <= WINDOW_MS:
            made[task][column[item_id]] = 1
    return encode(Row(served.request_id, served.user_id, shown, made, served.features))


def say_begun() -> None:
    """Tell the benchmark when the first record was taken in."""
    sys.stdout.write(f"begun {time.time()}\n")
    sys.stdout.flush()


def arguments() -> Any:
    """Give broker, topic prefix, number of partitions and a folder for state."""
    return sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
