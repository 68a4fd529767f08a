"""Small random event streams with every difficulty: late labels, strays, repetitions, last-touch purchases."""

import random
from datetime import timedelta
from typing import Any

import msgspec

from springtide.contracts.events import (
    AnyEvent,
    Cart,
    Click,
    Context,
    Impression,
    Purchase,
    Refund,
    Served,
    SlateFeatures,
    Tick,
)
from springtide.runtime.config import LabelsConfig

MINUTE = 60_000
HOUR = 60 * MINUTE
LABELS = LabelsConfig(
    observation={"click": timedelta(minutes=10), "cart": timedelta(hours=1), "purchase": timedelta(hours=1)},
    attribution={"click": timedelta(minutes=30), "cart": timedelta(hours=6), "purchase": timedelta(days=1)},
    allowed_lateness=timedelta(minutes=5),
    refund=timedelta(days=2),
)


def make_events(
    seed: int,
    *,
    slates: int = 12,
    users: int = 3,
    start_ms: int = 1_700_000_000_000,
    size: int = 4,
    refunds: bool = False,
) -> list[AnyEvent]:
    """Make the events of some slates in event-time order.

    Args:
        seed: of everything.
        slates: how many.
        users: among how many they are spread.
        start_ms: when the first may be served.
        size: items per slate.
        refunds: take purchases back, some of them twice or too late or never made, and show some slates in two parts.
    """
    draw = random.Random(seed)
    events: list[AnyEvent] = []
    for number in range(slates):
        user, request = f"u{draw.randrange(users)}", f"r{number}"
        time = start_ms + draw.randrange(3 * HOUR)
        events += _slate(draw, user, request, time, size)
    for number in range(slates // 3):
        events.append(
            Purchase(
                event_id=f"loose{number}", user_id=f"u{draw.randrange(users)}", producer="test", price=5.0,
                event_time_ms=start_ms + draw.randrange(20 * HOUR), item_id=f"i{draw.randrange(size * 2)}",
            )
        )  # fmt: skip
    if refunds:
        events += [*_refunds(draw, events), *_second_parts(draw, events, size)]
    return sorted(events, key=lambda event: (event.event_time_ms, event.event_id))


def disorder(events: list[AnyEvent], seed: int, lateness_ms: int = 5 * MINUTE) -> list[AnyEvent]:
    """Shuffle within the allowed lateness, and repeat some events within it."""
    draw = random.Random(seed)
    copies = [event for event in events for _ in range(1 + (draw.random() < 0.2) + (draw.random() < 0.05))]
    return [
        event
        for _, _, event in sorted((e.event_time_ms + draw.randrange(lateness_ms + 1), draw.random(), e) for e in copies)
    ]


def with_ticks(
    events: list[AnyEvent], partition: int, *, every_ms: int = 10 * MINUTE, until_ms: int = 60 * HOUR
) -> list[AnyEvent]:
    """Add ticks to one partition's events, on past the last of them until everything is due."""
    ticked: list[AnyEvent] = []
    newest = events[0].event_time_ms
    due = newest + every_ms
    for event in events:
        newest = max(newest, event.event_time_ms)
        while due <= newest:
            ticked.append(_tick(due, partition))
            due += every_ms
        ticked.append(event)
    end = newest + until_ms
    while due <= end:
        ticked.append(_tick(due, partition))
        due += every_ms
    return ticked


def _refunds(draw: random.Random, events: list[AnyEvent]) -> list[AnyEvent]:
    bought = [event for event in events if isinstance(event, Purchase)]
    made: list[AnyEvent] = []
    for purchase in [*bought, *bought[:1]]:
        for number in range(draw.randrange(3)):
            delay = draw.choice([0, MINUTE, 3 * HOUR, 20 * HOUR, 47 * HOUR, 49 * HOUR])
            made.append(
                Refund(
                    event_id=f"{purchase.event_id}-back{number}-{len(made)}", user_id=purchase.user_id, producer="test",
                    event_time_ms=purchase.event_time_ms + delay,
                    purchase_id=purchase.event_id if draw.random() < 0.9 else "never-made",
                )
            )  # fmt: skip
    return made


def _second_parts(draw: random.Random, events: list[AnyEvent], size: int) -> list[AnyEvent]:
    return [
        msgspec.structs.replace(
            event, event_id=f"{event.event_id}2", event_time_ms=event.event_time_ms + draw.randrange(20_000),
            positions=list(range(draw.randint(1, size), size + 1)),
        )
        for event in events
        if isinstance(event, Impression) and draw.random() < 0.3
    ]  # fmt: skip


def _tick(time_ms: int, partition: int) -> Tick:
    return Tick(
        event_id=f"tick-{partition}-{time_ms}", user_id="", event_time_ms=time_ms, producer="test", partition=partition
    )


def _slate(draw: random.Random, user: str, request: str, time: int, size: int) -> list[AnyEvent]:
    items = [f"i{number}" for number in draw.sample(range(size * 2), size)]
    base: dict[str, Any] = {"user_id": user, "producer": "test"}
    prices = [draw.random() for _ in items]
    shown = Impression(
        **base, event_id=f"{request}-i", event_time_ms=time + draw.randrange(30_000), request_id=request,
        positions=list(range(1, draw.randint(1, size) + 1)),
    )  # fmt: skip
    served = Served(
        **base, event_id=f"{request}-s", event_time_ms=time, request_id=request, experiment="demo", arm="control",
        model_version="v1", policy="greedy", context=Context(device="phone"), item_ids=items,
        scores={"click": [0.5] * size}, propensities=[draw.random() for _ in items],
        features=SlateFeatures(
            version=1, feature_time_ms=time - 1, user={"clicks_1d": 1.0}, item={"price": prices},
            item_category=["c1"] * size,
        ),
    )  # fmt: skip
    if draw.random() < 0.05:
        return [served]
    events: list[AnyEvent] = [served, shown]
    for number in range(draw.randrange(5)):
        kind: Any = draw.choice([Click, Click, Cart, Purchase])
        delay = draw.choice([0, draw.randrange(20 * MINUTE), draw.randrange(2 * HOUR), draw.randrange(26 * HOUR)])
        delay = draw.choice(
            [delay, delay, 10 * MINUTE, HOUR, HOUR + 1, 30 * MINUTE, 6 * HOUR, 24 * HOUR, 24 * HOUR + 1]
        )
        label: dict[str, Any] = {
            **base,
            "event_id": f"{request}-l{number}",
            "event_time_ms": shown.event_time_ms + delay,
            "item_id": draw.choice(items),
        }
        if kind is Purchase:
            label |= {"price": draw.random() * 9, "quantity": draw.randint(1, 3)}
        events.append(kind(**label, request_id="" if kind is Purchase and draw.random() < 0.3 else request))
    return events
