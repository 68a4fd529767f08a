"""Made-up traffic for the joiner's benchmark: slates of ten with the features that serving logs, labels with delays."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from springtide.contracts.codec import encode
from springtide.contracts.events import (
    AnyEvent,
    Cart,
    Click,
    Context,
    Impression,
    Purchase,
    Served,
    SlateFeatures,
    Tick,
)
from springtide.contracts.features import ITEM_FEATURES, USER_FEATURES
from springtide.contracts.tasks import TASKS

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
START_MS: Final = 1_700_000_000_000
SLATE: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What to make. Click 3 % of impressions, cart 15 % of clicks, purchase 30 % of carts."""

    slates: int
    users: int = 20_000
    """Chosen with weight 1 / rank."""
    items: int = 2_000
    start_ms: int = START_MS
    """Event time of the first slate."""
    span_ms: int = HOUR
    """Event time from the first slate to the last."""
    purchase_after_ms: int = 20 * MINUTE
    """Mean delay of a purchase after its cart."""
    disorder_ms: int = 20_000
    """Most that an event arrives after its event time."""
    click: float = 0.03
    cart: float = 0.15
    purchase: float = 0.3
    partitions: int = 2
    tail_ms: int = 26 * HOUR
    """Event time behind the last event, with a tick every 13 hours, so that every window closes; 0 leaves windows open.

    Ticks and late purchases in an empty topic are triggers with little to do, which a shop's traffic has not: few.
    """
    seed: int = 1


def make_events(traffic: Traffic) -> list[tuple[int, AnyEvent]]:
    """Make all events in order of arrival, each with its time of arrival."""
    draw = random.Random(traffic.seed)
    columns = _item_columns(draw, traffic.items)
    weights = [1 / rank for rank in range(1, traffic.users + 1)]
    users = draw.choices(range(traffic.users), weights, k=traffic.slates)
    arrivals: list[tuple[int, int, AnyEvent]] = []
    for number, user in enumerate(users):
        time_ms = traffic.start_ms + number * traffic.span_ms // traffic.slates
        for event in _slate(draw, traffic, columns, user=f"u{user}", request=f"r{number}", time_ms=time_ms):
            late = event.event_time_ms + draw.randrange(traffic.disorder_ms + 1)
            arrivals.append((late, len(arrivals), event))
    arrivals.sort()
    return [(late, event) for late, _, event in arrivals]


def partition_of(event: AnyEvent, partitions: int) -> int:
    """Give the partition; all of a user's events lie in one."""
    return event.partition if isinstance(event, Tick) else int(event.user_id[1:]) % partitions


def encoded(traffic: Traffic, events: list[tuple[int, AnyEvent]]) -> Iterator[tuple[int, bytes, bytes]]:
    """Give partition, key and value of every event, and behind them the ticks that close the windows."""
    for _, event in events:
        yield partition_of(event, traffic.partitions), event.user_id.encode(), encode(event)
    newest = max(event.event_time_ms for _, event in events)
    for time_ms in range(newest + 13 * HOUR, newest + traffic.tail_ms + 1, 13 * HOUR):
        for partition in range(traffic.partitions):
            yield partition, b"", encode(make_tick(partition, time_ms))


def make_tick(partition: int, time_ms: int) -> Tick:
    """Make a tick, which says that event time has passed."""
    event_id = f"tick-{partition}-{time_ms}"
    return Tick(event_id=event_id, user_id="", event_time_ms=time_ms, producer="benchmark", partition=partition)


def _item_columns(draw: random.Random, items: int) -> dict[str, list[float]]:
    columns = {name: [float(draw.randrange(40)) for _ in range(items)] for name in ITEM_FEATURES}
    columns["price"] = [round(draw.uniform(2, 200), 2) for _ in range(items)]
    columns["born_ms"] = [float(START_MS - draw.randrange(90 * 24 * HOUR)) for _ in range(items)]
    return columns


def _slate(
    draw: random.Random, traffic: Traffic, columns: dict[str, list[float]], *, user: str, request: str, time_ms: int
) -> Iterator[AnyEvent]:
    chosen = draw.sample(range(traffic.items), SLATE)
    base: dict[str, Any] = {"user_id": user, "producer": "benchmark"}
    yield Served(
        **base, event_id=f"{request}-s", event_time_ms=time_ms, request_id=request, experiment="demo", arm="control",
        other_arms={"a-a": "aa-left"}, model_version="minute-000042", policy="explore",
        context=Context(device="phone", country="NL"), item_ids=[f"i{item}" for item in chosen],
        scores={task: [draw.random() for _ in chosen] for task in TASKS},
        fused_scores=[draw.random() for _ in chosen], propensities=[draw.random() for _ in chosen],
        features=SlateFeatures(
            version=1, feature_time_ms=time_ms - MINUTE,
            user={name: float(draw.randrange(60)) for name in USER_FEATURES},
            top_categories=["c1", "c2", "c3"], top_category_shares=[0.5, 0.3, 0.2],
            recent_items=[f"i{draw.randrange(traffic.items)}" for _ in range(8)],
            item={name: [column[item] for item in chosen] for name, column in columns.items()},
            item_category=[f"c{item % 20}" for item in chosen],
        ),
    )  # fmt: skip
    shown_ms = time_ms + draw.randrange(2_000)
    yield Impression(
        **base, event_id=f"{request}-i", event_time_ms=shown_ms, request_id=request, positions=list(range(1, SLATE + 1))
    )
    for item in chosen:
        if draw.random() < traffic.click:
            yield from _labels(draw, traffic, base, request=request, item=item, shown_ms=shown_ms)


def _labels(
    draw: random.Random, traffic: Traffic, base: dict[str, Any], *, request: str, item: int, shown_ms: int
) -> Iterator[AnyEvent]:
    about = {**base, "request_id": request, "item_id": f"i{item}"}
    time_ms = shown_ms + int(draw.expovariate(1 / (2 * MINUTE)))
    yield Click(**about, event_id=f"{request}-{item}-c", event_time_ms=time_ms)
    if draw.random() < traffic.cart:
        time_ms += int(draw.expovariate(1 / (10 * MINUTE)))
        yield Cart(**about, event_id=f"{request}-{item}-a", event_time_ms=time_ms)
        if draw.random() < traffic.purchase:
            time_ms += int(draw.expovariate(1 / traffic.purchase_after_ms))
            yield Purchase(**about, event_id=f"{request}-{item}-p", event_time_ms=time_ms, price=draw.uniform(2, 200))
