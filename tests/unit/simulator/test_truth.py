"""The simulator's word against its deeds: rates within binomial bounds, per decile of the truth, per label."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from springtide.contracts.events import Cart, Click, Impression, Purchase
from springtide.contracts.tasks import TASKS, Task
from springtide.contracts.truth import TruthSlate
from tests.unit.simulator.conftest import LABELS, Told, play

KINDS: dict[Task, type[Click | Cart | Purchase]] = {"click": Click, "cart": Cart, "purchase": Purchase}


@functools.cache
def busy() -> Told:
    """A day with enough labels of every kind for tight bounds."""
    return play(
        users=1500, sessions_per_day=5.0, base_click=-1.5, orphan_share=0.0, policy="oracle", taste_strength=1.0
    )  # fmt: skip


@functools.cache
def observed(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Probability and label per impression; a label counts within its attribution window."""
    told = busy()
    shown = {event.request_id: event.event_time_ms for event in told.events if isinstance(event, Impression)}
    window = LABELS.attribution[task].total_seconds() * 1000
    happened = {
        (event.request_id, event.item_id)
        for event in told.events
        if isinstance(event, KINDS[task]) and event.event_time_ms - shown[event.request_id] <= window
    }
    pairs = [
        (chance, (truth.request_id, item) in happened)
        for truth in told.truths
        if isinstance(truth, TruthSlate)
        for item, chance in zip(truth.item_ids, truth.probabilities[task], strict=True)
    ]
    chances, labels = zip(*pairs, strict=True)
    return np.array(chances), np.array(labels, dtype=float)


@pytest.mark.parametrize("task", TASKS)
def test_rates_per_decile_of_the_truth(task: Task) -> None:
    chances, labels = observed(task)
    assert labels.sum() > 500
    order = np.argsort(chances)
    for part in np.array_split(order, 10):
        expected, variance = chances[part].sum(), (chances[part] * (1 - chances[part])).sum()
        assert abs(labels[part].sum() - expected) < 4.5 * np.sqrt(variance) + 1


@pytest.mark.parametrize("task", TASKS)
def test_rates_per_position(task: Task) -> None:
    told = busy()
    places = np.array([p for t in told.truths if isinstance(t, TruthSlate) for p in range(len(t.item_ids))])
    chances, labels = observed(task)
    for place in range(10):
        here = places == place
        expected, variance = chances[here].sum(), (chances[here] * (1 - chances[here])).sum()
        assert abs(labels[here].sum() - expected) < 4.5 * np.sqrt(variance) + 1


def test_labels_come_in_the_order_of_the_funnel() -> None:
    times: dict[tuple[str, str], dict[str, int]] = {}
    for event in busy().events:
        if isinstance(event, Click | Cart | Purchase):
            times.setdefault((event.request_id, event.item_id), {})[type(event).__name__] = event.event_time_ms
    direct = 0
    for known in times.values():
        assert "Click" in known
        assert known["Click"] <= known.get("Cart", known["Click"]) <= known.get("Purchase", 2**62)
        direct += "Purchase" in known and "Cart" not in known
    assert direct > 20  # purchases also come without a cart


def test_sums_of_a_slate() -> None:
    truth = next(truth for truth in busy().truths if isinstance(truth, TruthSlate))
    assert truth.expected_clicks == pytest.approx(sum(truth.probabilities["click"]))
    assert truth.expected_purchases == pytest.approx(sum(truth.probabilities["purchase"]))
    assert all(c <= e for c, e in zip(truth.probabilities["click"], truth.examine, strict=True))
