"""The measured delay curve against the law that made the delays; the young, the merged, the bounded, the disordered."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from simulator.config import SimulatorConfig
from simulator.delays import make_delays
from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Purchase, Tick
from springtide.contracts.tasks import Task
from springtide.windows.delay_table import READABLE_MS, DelayTable, make_edges
from springtide.windows.matching import DelayMatcher, MatchRules, merged
from springtide.windows.proposal import propose, settings_lines

SEED = 11
HOUR, DAY = 3_600_000, 24 * 3_600_000
START = 1_700_000_000_000
LAW = make_delays(SimulatorConfig())
RULES = MatchRules(horizon_ms=7 * DAY, lateness_ms=5 * 60_000, max_advance_ms=DAY)
KINDS: dict[Task, Any] = {"click": Click, "cart": Cart, "purchase": Purchase}
RATE: dict[Task, float] = {"click": 0.3, "cart": 0.1, "purchase": 0.1}


@cache
def make_events(days: float, slates: int, *, until_days: float, seed: int = SEED) -> list[AnyEvent]:
    """Slates of five items over some days with labels by the simulator's law, as known after `until_days`."""
    draw = random.Random(seed)
    events: list[AnyEvent] = []
    for number in range(slates):
        shown = START + int(draw.uniform(0, days * DAY))
        user, request = f"u{number % 500}", f"r{number}"
        events.append(
            Impression(
                event_id=f"{request}.i", user_id=user, event_time_ms=shown, producer="t", request_id=request,
                positions=[1, 2, 3, 4, 5],
            )
        )  # fmt: skip
        for item in range(5):
            for task, kind in KINDS.items():
                if draw.random() < RATE[task]:
                    time_ms = shown + int(delay_of(task, draw))
                    events.append(
                        kind(
                            event_id=f"{request}.{item}.{task}", user_id=user, event_time_ms=time_ms, producer="t",
                            request_id=request, item_id=f"i{item}",
                        )
                    )  # fmt: skip
    end = START + int(until_days * DAY)
    known = sorted((event for event in events if event.event_time_ms <= end), key=lambda event: event.event_time_ms)
    tick = Tick(event_id="tick", user_id="", event_time_ms=end, producer="t", partition=0)
    return [*known, tick]


def delay_of(task: Task, draw: random.Random) -> float:
    """Draw one delay by the law of simulator/delays.py: click, then cart, then one part of the purchase mixture."""
    delay = draw.expovariate(1 / LAW.click_ms)
    if task == "cart":
        delay += draw.expovariate(1 / LAW.cart_ms)
    if task == "purchase":
        delay += draw.expovariate(1 / draw.choices(LAW.purchase_ms, LAW.shares.tolist())[0])
    return delay


def true_share(task: Task, delay_ms: float) -> float:
    if task == "click":
        return LAW.click_by(delay_ms)
    if task == "cart":
        return LAW.cart_by(delay_ms)
    return float(LAW.purchase_by(delay_ms, np.ones(()), by_cart=False))


def match(events: Sequence[AnyEvent], rules: MatchRules = RULES) -> DelayMatcher:
    matcher = DelayMatcher(rules)
    for event in events:
        matcher.take(event)
    matcher.finish()
    return matcher


@cache
def whole_story() -> dict[Task, DelayTable]:
    """A story that is cut: half of its impressions are younger than 3.5 days."""
    return match(make_events(7, 9_000, until_days=7)).tables


def test_the_curve_is_the_simulators_law_though_most_impressions_are_young() -> None:
    print(f"seed {SEED}")
    for task in RATE:
        curve = whole_story()[task].curve()
        assert curve is not None
        whole = true_share(task, curve.reach_ms)
        for text in ("10s", "1m", "10m", "1h", "6h", "1d", "3d"):
            share, low, high = curve.at(READABLE_MS[text])
            truth = true_share(task, READABLE_MS[text]) / whole
            assert share == pytest.approx(truth, abs=0.025), (task, text)
            assert low - 0.02 <= truth <= high + 0.02, (task, text, low, truth, high)


def test_counting_what_came_so_far_would_have_been_wrong() -> None:
    table = whole_story()["purchase"]
    curve = table.curve()
    assert curve is not None
    place = int(np.searchsorted(curve.edges_ms_E, READABLE_MS["6h"]))
    naive = float(table.labels_B[:place].sum() / table.labels_B[: len(curve.edges_ms_E) - 1].sum())
    truth = true_share("purchase", READABLE_MS["6h"]) / true_share("purchase", curve.reach_ms)
    assert naive - truth > 0.025
    assert abs(curve.at(READABLE_MS["6h"])[0] - truth) < 0.5 * (naive - truth)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    inside = total = 0
    for seed in range(10):
        curve = match(make_events(4, 900, until_days=4, seed=seed)).tables["purchase"].curve()
        assert curve is not None
        for text in ("30m", "2h", "8h", "1d"):
            _, low, high = curve.at(READABLE_MS[text])
            inside += low <= true_share("purchase", READABLE_MS[text]) / true_share("purchase", curve.reach_ms) <= high
            total += 1
    assert inside / total > 0.85


def test_proposed_windows_catch_what_was_asked() -> None:
    proposals = propose(whole_story(), catch=0.93, early=0.5)
    cart = proposals["cart"]
    assert cart is not None
    assert cart.attribution.text == "10m"  # the law: 91.1 % within 5 minutes, 99.3 % within 10
    assert cart.attribution.low <= cart.attribution.share <= cart.attribution.high
    assert (cart.observation.text, cart.doubt) == ("2m", "")
    purchase = proposals["purchase"]
    assert purchase is not None
    assert purchase.attribution.share >= 0.93 > purchase.curve.at(READABLE_MS["1d"])[0]
    lines = list(settings_lines(proposals))
    assert lines[0] == "[labels]"
    assert lines[2].startswith('attribution = { click = "30s", cart = "10m", purchase = "')


def test_too_few_labels_propose_nothing() -> None:
    proposals = propose(match(make_events(1, 5, until_days=2)).tables, catch=0.95, early=0.5)
    assert proposals == {"click": None, "cart": None, "purchase": None}
    assert 'purchase = "?"' in "\n".join(settings_lines(proposals))


def test_tables_of_parts_add_up_to_the_table_of_the_whole() -> None:
    events = make_events(3, 1_500, until_days=3)
    end = events[-1]
    parts = [[e for e in events[:-1] if int(e.user_id[1:]) % 2 == number] + [end] for number in range(2)]
    both, whole = merged([match(part) for part in parts]), match(events).tables
    for task, table in whole.items():
        assert np.array_equal(both[task].labels_B, table.labels_B)
        assert np.array_equal(both[task].censored_B, table.censored_B)
    with pytest.raises(ValueError, match="horizon"):
        DelayTable(DAY).merge(DelayTable(2 * DAY))


def test_order_and_repetitions_within_the_lateness_change_nothing() -> None:
    events = make_events(3, 600, until_days=3)
    draw = random.Random(SEED)
    twice = [*events[:-1], *draw.sample(events[:-1], 300)]
    shuffled = sorted(twice, key=lambda event: event.event_time_ms + draw.randrange(5 * 60_000))
    plain, disturbed = match(events), match([*shuffled, events[-1]])
    for task, table in plain.tables.items():
        assert np.array_equal(disturbed.tables[task].labels_B, table.labels_B)


def test_memory_is_bounded_by_leaving_out_users() -> None:
    rules = MatchRules(horizon_ms=7 * DAY, lateness_ms=0, max_advance_ms=DAY, most_slates=400)
    matcher = DelayMatcher(rules)
    for event in make_events(7, 6_000, until_days=14):
        matcher.take(event)
        assert matcher.open_slates <= 400
    matcher.finish()
    assert matcher.sampled < 0.2
    curve = matcher.tables["click"].curve()
    assert curve is not None
    assert curve.at(READABLE_MS["20s"])[0] == pytest.approx(true_share("click", 20_000), abs=0.06)


def test_a_purchase_without_request_goes_to_the_last_click() -> None:
    base: Any = {"user_id": "u", "producer": "t"}
    events: list[AnyEvent] = []
    for number, time in (("0", START), ("1", START + HOUR)):
        events.append(
            Impression(**base, event_id=f"i{number}", event_time_ms=time, request_id=f"r{number}", positions=[1])
        )
        events.append(
            Click(**base, event_id=f"c{number}", event_time_ms=time + 1_000, request_id=f"r{number}", item_id="a")
        )
    events.append(Purchase(**base, event_id="p", event_time_ms=START + HOUR + 60_000, item_id="a"))
    events.append(Purchase(**base, event_id="q", event_time_ms=START + HOUR, item_id="b"))
    matcher = match(events)
    table = matcher.tables["purchase"]
    assert table.labels == 1
    assert table.labels_B[np.searchsorted(make_edges(RULES.horizon_ms)[1:], 60_000)] == 1
    assert matcher.counts["without_request"] == 1


def test_one_event_far_ahead_does_not_make_all_impressions_old() -> None:
    events = make_events(2, 300, until_days=2)
    outlier = Tick(event_id="x", user_id="", event_time_ms=START + 400 * DAY, producer="t", partition=0)
    disturbed = match([*events[:50], outlier, *events[50:]])
    assert disturbed.counts["outliers"] == 1
    assert np.array_equal(disturbed.tables["click"].censored_B, match(events).tables["click"].censored_B)
