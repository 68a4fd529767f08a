"""One partition's log with every difficulty, in seconds instead of days."""

import dataclasses
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Purchase, Refund, Served, Tick
from springtide.runtime.config import LabelsConfig
from streaming.config import JoinerConfig
from streaming.core import Record

SECOND = 1000
START_MS = 1_700_000_000_000
LATENESS_MS = 10 * SECOND
LABELS = LabelsConfig(
    observation={"click": timedelta(seconds=20), "cart": timedelta(seconds=60), "purchase": timedelta(seconds=60)},
    attribution={"click": timedelta(seconds=60), "cart": timedelta(seconds=120), "purchase": timedelta(seconds=180)},
    allowed_lateness=timedelta(milliseconds=LATENESS_MS),
    max_advance=timedelta(seconds=400),
    refund=timedelta(seconds=200),
)
POLICIES = (
    LABELS,
    dataclasses.replace(LABELS, ages=(timedelta(seconds=5), timedelta(seconds=90)), negative_keep=0.5),
    dataclasses.replace(LABELS, policy="fast"),
    dataclasses.replace(LABELS, policy="close"),
)
DENSE = JoinerConfig(
    trigger_every=timedelta(seconds=20),
    trigger_records=7,
    orphan_wait=timedelta(seconds=60),
    remember=timedelta(seconds=30),
    outlier_run=3,
    labels_per_slate=5,
)
"""Windows, orphans and memory all end within a few triggers, so many of them between two commits."""
SPARSE = dataclasses.replace(DENSE, trigger_every=timedelta(seconds=120), trigger_records=28)
"""A slate may live and die between two triggers."""

_LABELS: tuple[type[Click] | type[Cart] | type[Purchase], ...] = (Click, Click, Cart, Purchase)
_Arrival = tuple[int, AnyEvent | bytes]


def make_log(draw: random.Random, slates: int = 5) -> list[Record]:
    """Make a log: late, early, repeated, stray and broken events, leaps of time, and ticks until all is due."""
    if draw.random() < 0.1:
        return _sudden_end(draw)
    arrivals: list[_Arrival] = []
    slow = draw.choice([0.05, 0.15, 0.5])
    for number in range(slates):
        user, time = f"u{draw.randrange(2)}", START_MS + draw.randrange(240 * SECOND)
        for event in _slate(draw, f"r{number}", user, time):
            arrivals += _arrivals(draw, event, slow)
    for number in range(draw.randrange(4)):
        arrivals += _arrivals(draw, _loose_purchase(draw, number), slow)
    if draw.random() < 0.3:
        arrivals.append((START_MS + draw.randrange(300 * SECOND), b"{not json"))
    arrivals += _ticks(draw)
    events = [event for _, event in sorted(arrivals, key=lambda arrival: arrival[0])]
    return [
        Record(offset, b"", event if isinstance(event, bytes) else encode(event)) for offset, event in enumerate(events)
    ]


def _sudden_end(draw: random.Random) -> list[Record]:
    """One slate whose last labels come in the very trigger in which time leaps past its end."""
    base: dict[str, Any] = {"user_id": "u0", "producer": "model"}
    served, shown = (
        Served(
            **base, event_id="s", event_time_ms=START_MS + SECOND, request_id="r", experiment="e", arm="a",
            model_version="v", policy="greedy", item_ids=["i0", "i1"],
        ),
        Impression(
            **base, event_id="i", event_time_ms=START_MS + 2 * SECOND, request_id="r", positions=[1, 2]
        ),
    )  # fmt: skip
    labels = [
        Click(
            **base, event_id=f"l{number}", request_id="r", item_id=f"i{number % 2}",
            event_time_ms=START_MS + draw.randrange(3, 60) * SECOND,
        )
        for number in range(draw.randint(1, 3))
    ]  # fmt: skip
    times = [0, *([25] if draw.random() < 0.5 else [130]), *range(420, 1_500, 60)]
    ticks = [
        Tick(event_id=f"t{time}", user_id="", producer="model", event_time_ms=START_MS + time * SECOND, partition=0)
        for time in times
    ]
    events: list[AnyEvent] = [ticks[0], served, shown, ticks[1], *labels, *ticks[2:]]
    return [Record(offset, b"", encode(event)) for offset, event in enumerate(events)]


def _arrivals(draw: random.Random, event: AnyEvent, slow: float) -> Iterator[_Arrival]:
    """An event comes once or more often, each time in time or, for a share of them, much too late."""
    for _ in range(draw.choice([1, 1, 1, 1, 2, 3])):
        longest = 300 * SECOND if draw.random() < slow else LATENESS_MS
        yield event.event_time_ms + draw.randrange(longest), event


def _ticks(draw: random.Random) -> Iterator[_Arrival]:
    """Ticks; some steps are longer than a slate's whole life."""
    time = START_MS
    while time < START_MS + 1_500 * SECOND:
        time += draw.choice([5, 15, 15, 90, 390]) * SECOND
        tick = Tick(event_id=f"t{time}", user_id="", event_time_ms=time, producer="model", partition=0)
        yield time, tick


def _loose_purchase(draw: random.Random, number: int) -> Purchase:
    return Purchase(
        event_id=f"loose{number}", user_id=f"u{draw.randrange(2)}", producer="model", price=5.0,
        event_time_ms=START_MS + draw.randrange(300 * SECOND), item_id=f"i{draw.randrange(3)}",
    )  # fmt: skip


def _slate(draw: random.Random, request: str, user: str, time: int) -> Iterator[AnyEvent]:
    items = [f"i{number}" for number in draw.sample(range(4), 3)]
    shown_ms = time + draw.randrange(5 * SECOND)
    if draw.random() < 0.9:
        yield Served(
            event_id=f"{request}-s", user_id=user, event_time_ms=time, producer="model", request_id=request,
            experiment="e", arm="a", model_version="v", policy="greedy", item_ids=items,
        )  # fmt: skip
    if draw.random() < 0.9:
        yield Impression(
            event_id=f"{request}-i", user_id=user, event_time_ms=shown_ms, producer="model", request_id=request,
            positions=[1, 2, 3][: draw.randint(1, 3)],
        )  # fmt: skip
    for number in range(draw.randrange(5)):
        kind = draw.choice(_LABELS)
        delay = draw.choice([-3, 0, 10, 20, 30, 60, 61, 120, 150, 180, 181]) * SECOND
        named = kind is not Purchase or draw.random() < 0.6
        label = kind(
            event_id=f"{request}-l{number}", user_id=user, event_time_ms=shown_ms + delay, producer="model",
            request_id=request if named else "", item_id=draw.choice(items),
        )  # fmt: skip
        yield label
        if kind is Purchase and draw.random() < 0.5:
            yield Refund(
                event_id=f"{request}-b{number}", user_id=user, producer="model", purchase_id=label.event_id,
                event_time_ms=label.event_time_ms + draw.choice([1, 20, 60, 150, 250]) * SECOND,
            )  # fmt: skip
