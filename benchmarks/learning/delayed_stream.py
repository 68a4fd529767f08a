"""A stream of slates with known probabilities and a known delay law, through the real joiner core. No Kafka, no clock.

Each shown item has features x: a category c of CATEGORIES, a log price z ~ N(0, 1) and a constant. It is bought with

    p(x, t) = sigmoid(base + a_c(t) + PRICE z)                a_c turns with time, so that a model must keep learning

and the purchase comes within the observation window with probability

    F(x) = sigmoid(early - spread (z + g_c) / sqrt 2)         what is dear, or of a slow category, is thought over long

evenly within it, else after it, exponentially with mean LATE_MEAN_MS, cut at the attribution window. So p is the exact
probability of a label within the attribution window. Shapes: N shown items, F features, R rows of the joiner.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent, Cart, Impression, Purchase, Served, Tick
from springtide.contracts.samples import Sample
from springtide.contracts.topics import DAY_MS, HOUR_MS, SAMPLES
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds
from streaming.config import JoinerConfig
from streaming.core import Record
from streaming.joiner.join import Joiner
from streaming.joiner.windows import Windows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

START_MS: Final = 1_699_999_200_000
"""A whole hour."""
ITEMS: Final = 10
"""Of a slate."""
CATEGORIES: Final = 8
PRICE: Final = 0.3
CATEGORY_SPREAD: Final = 0.7
"""Standard deviation of a_c."""
TURN: Final = 0.2
"""Radians by which a_c turns in a day."""
LATE_MEAN_MS: Final = 5 * HOUR_MS
BUYERS_CART: Final = 0.8
"""Share of purchases before which the item is put in the cart, within CART_MS of the impression."""
OTHERS_CART: Final = 0.1
"""Likewise, of what is not bought."""
CART_MS: Final = HOUR_MS // 6
LABELS: Final = LabelsConfig(
    observation={"click": timedelta(minutes=10), "cart": timedelta(hours=1), "purchase": timedelta(hours=1)},
    attribution={"click": timedelta(minutes=30), "cart": timedelta(hours=6), "purchase": timedelta(days=1)},
    allowed_lateness=timedelta(minutes=5),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """What a benchmark varies."""

    base: float = -0.5
    """Log-odds of a purchase at the mean of x."""
    early: float = -0.4
    """Log-odds of F at the mean of x."""
    spread: float = 2.0
    """Standard deviation of F's log-odds over x; 0 makes F independent of x."""
    tide: float = 0.0
    """How far an hour's traffic swings around the mean over a day, 0 to below 1."""
    carts: bool = False
    """Buyers put things in the cart first, and some others do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """N shown items, and the joiner's rows about them."""

    law: Law
    x_NF: Floats
    """Category (one column each), log price, 1."""
    truth_N: Floats
    """p."""
    early_N: Floats
    """F."""
    hour_N: Ints
    """Of the impression, from 0, ascending."""
    hours: list[list[Sample]]
    """Rows by the hour in which the joiner wrote them, in its order; an item's id is its number n. After the hours with
    impressions come those in which the last labels do."""

    @property
    def arrived(self) -> float:
        """F over all labels, as a delay curve has it."""
        return float((self.truth_N * self.early_N).sum() / self.truth_N.sum())


def make_stream(seed: int, *, slates_per_hour: int, hours: int, law: Law) -> Stream:
    """Return a stream of the seed: hours with impressions, then a day and two hours in which their labels close."""
    draw = np.random.default_rng(seed)
    time_N = START_MS + np.repeat(_slate_times(slates_per_hour, hours, law.tide), ITEMS)
    count = len(time_N)
    category_N, price_N = draw.integers(CATEGORIES, size=count), draw.normal(size=count)
    first_C, second_C = CATEGORY_SPREAD * draw.normal(size=(2, CATEGORIES))
    slow_C = draw.normal(size=CATEGORIES)
    angle_N = TURN * (time_N - START_MS) / DAY_MS
    liked_N = np.cos(angle_N) * first_C[category_N] + np.sin(angle_N) * second_C[category_N]
    truth_N = _sigmoid(law.base + liked_N + PRICE * price_N)
    early_N = _sigmoid(law.early - law.spread * (price_N + slow_C[category_N]) / np.sqrt(2.0))
    bought_N = draw.random(count) < truth_N
    in_all = hours + milliseconds(LABELS.attribution["purchase"]) // HOUR_MS + 2
    delay_N = np.where(bought_N, _delays(draw, early_N), -1)
    cart_N = _cart_delays(draw, bought_N) if law.carts else np.full(count, -1)
    events = _events(time_N, cart_N, delay_N, START_MS + in_all * HOUR_MS)
    written: list[list[Sample]] = [[] for _ in range(in_all)]
    for event_ms, sample in _joined(events):
        written[(event_ms - START_MS) // HOUR_MS].append(sample)
    return Stream(
        law=law,
        x_NF=np.concatenate([np.eye(CATEGORIES)[category_N], price_N[:, None], np.ones((count, 1))], axis=1),
        truth_N=truth_N,
        early_N=early_N,
        hour_N=(time_N - START_MS) // HOUR_MS,
        hours=written,
    )


def _slate_times(slates_per_hour: int, hours: int, tide: float) -> Ints:
    """Return the slates' times in ms from the start, evenly within each hour."""
    counts_H = slates_per_hour * (1.0 + tide * np.sin(2.0 * np.pi * np.arange(hours) / 24.0))
    times = [
        hour * HOUR_MS + np.arange(slates) * (HOUR_MS // slates)
        for hour, slates in enumerate(np.maximum(1, counts_H.round()).astype(int).tolist())
    ]
    return np.concatenate(times)


def item_numbers(samples: Sequence[Sample]) -> Ints:
    """Return which of the N items each of the samples' R rows is of."""
    return np.array([int(item) for sample in samples for item in sample.item_ids], np.int64)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def _delays(draw: np.random.Generator, early_N: Floats) -> Ints:
    """Return the delay of each item's purchase, were there one, in ms."""
    observed_ms = milliseconds(LABELS.observation["purchase"])
    left_ms = milliseconds(LABELS.attribution["purchase"]) - observed_ms
    share_N = draw.random(len(early_N)) * -np.expm1(-left_ms / LATE_MEAN_MS)  # cut at the attribution window
    late_N = observed_ms + 1 + np.minimum(-LATE_MEAN_MS * np.log1p(-share_N), left_ms - 1)
    inside_N = draw.random(len(early_N)) * observed_ms
    return np.where(draw.random(len(early_N)) < early_N, inside_N, late_N).astype(np.int64)


def _cart_delays(draw: np.random.Generator, bought_N: NDArray[np.bool_]) -> Ints:
    """Return the delay of each item's cart in ms, -1 where it is put in none."""
    carted_N = draw.random(len(bought_N)) < np.where(bought_N, BUYERS_CART, OTHERS_CART)
    return np.where(carted_N, draw.integers(CART_MS, size=len(bought_N)), -1)


def _events(time_N: Ints, cart_N: Ints, delay_N: Ints, end_ms: int) -> list[AnyEvent]:
    """Return every event before the end, in order of time; delays of -1 are of what was never done."""
    events: list[AnyEvent] = []
    for start in range(0, len(time_N), ITEMS):
        request, time_ms = f"r{start}", int(time_N[start])
        slate = range(start, start + ITEMS)
        events += [
            Served(
                event_id=f"{request}-s", user_id="u", producer="benchmark", event_time_ms=time_ms, request_id=request,
                experiment="", arm="", model_version="", policy="", item_ids=[str(number) for number in slate],
            ),
            Impression(
                event_id=f"{request}-i", user_id="u", producer="benchmark", event_time_ms=time_ms, request_id=request,
                positions=list(range(1, ITEMS + 1)),
            ),
        ]  # fmt: skip
        events += [
            Purchase(
                event_id=f"{number}-p", user_id="u", producer="benchmark", event_time_ms=time_ms + int(delay_N[number]),
                request_id=request, item_id=str(number),
            )
            for number in slate
            if delay_N[number] >= 0
        ]  # fmt: skip
        events += [
            Cart(
                event_id=f"{number}-c", user_id="u", producer="benchmark", event_time_ms=time_ms + int(cart_N[number]),
                request_id=request, item_id=str(number),
            )
            for number in slate
            if cart_N[number] >= 0
        ]  # fmt: skip
    events += [
        Tick(event_id=f"t{time_ms}", user_id="", producer="benchmark", event_time_ms=time_ms, partition=0)
        for time_ms in range(START_MS, end_ms, HOUR_MS // 4)
    ]
    return sorted((event for event in events if event.event_time_ms < end_ms), key=lambda event: event.event_time_ms)


def _joined(events: list[AnyEvent]) -> Iterator[tuple[int, Sample]]:
    """Yield what the joiner writes, with the time of the event at which it does."""
    config = JoinerConfig(trigger_every=timedelta(minutes=15), trigger_records=128)
    core = Joiner(partition=0, windows=Windows.of(LABELS), config=config)
    decoder = msgspec.json.Decoder(Sample)
    for offset, event in enumerate(events):
        if core.merge(Record(offset, b"u", encode(event))):
            for message in core.collect():
                if message.topic == SAMPLES.name:
                    yield event.event_time_ms, decoder.decode(message.value)
            for _ in core.settle(offset):
                pass
