"""Faults of a replay: which events, how late, how often; the same after a resumption, and never beyond their bound."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from simulator.replay.config import ReplayConfig
from simulator.replay.faults import ReplayFaults
from springtide.contracts.events import AnyEvent, Cart
from tests.oracles.streams import HOUR, LABELS, MINUTE

FAULTY = ReplayConfig(duplicates=0.05, out_of_order=0.3, fault_seed=3)
EVENTS: list[AnyEvent] = [
    Cart(event_id=f"e{number}", user_id="u", event_time_ms=number * 2_000, producer="test", item_id="i")
    for number in range(10_000)
]


def tell(faults: ReplayFaults, begin: int = 0, step_ms: int = HOUR) -> list[AnyEvent]:
    """Take the events step by step from the step `begin` on, until nothing is held."""
    told: list[AnyEvent] = []
    for step in range(begin, 8):
        fresh = [event for event in EVENTS if event.event_time_ms // step_ms == step]
        told += faults.take(fresh, (step + 1) * step_ms)
    return told


def test_without_faults_the_log_is_told_as_it_is() -> None:
    assert tell(ReplayFaults(ReplayConfig())) == EVENTS


def test_five_percent_come_twice_and_nothing_is_lost() -> None:
    faults = ReplayFaults(FAULTY)
    times = Counter(event.event_id for event in tell(faults))
    assert set(times) == {event.event_id for event in EVENTS}
    assert sum(number == 2 for number in times.values()) == faults.counts["duplicates"]
    assert 400 < faults.counts["duplicates"] < 600
    assert max(times.values()) == 2


def test_bursts_disturb_the_order_within_the_hold_and_nowhere_else() -> None:
    config = ReplayConfig(out_of_order=0.3, fault_seed=3)
    newest, late_pieces, behind_ms = 0, set(), []
    for event in tell(ReplayFaults(config)):
        newest = max(newest, event.event_time_ms)
        if newest > event.event_time_ms:
            behind_ms.append(newest - event.event_time_ms)
            late_pieces.add(event.event_time_ms // (10 * MINUTE))
    pieces = EVENTS[-1].event_time_ms // (10 * MINUTE) + 1
    assert 3 * MINUTE < max(behind_ms) <= 4 * MINUTE
    assert 0.15 * pieces < len(late_pieces) < 0.5 * pieces


def test_a_resumed_replay_goes_on_with_the_same_faults() -> None:
    whole = tell(ReplayFaults(FAULTY))
    resumed = ReplayFaults(FAULTY)
    for event in EVENTS:
        if event.event_time_ms < 2 * HOUR:
            resumed.take([event], 2 * HOUR)  # told before the kill
    rest = tell(resumed, begin=2)
    assert rest == whole[-len(rest) :]
    assert any(event.event_time_ms < 2 * HOUR for event in rest)


def test_a_hold_beyond_the_lateness_is_refused() -> None:
    long = ReplayConfig(duplicates=0.1, hold=timedelta(minutes=5))
    assert ["replay.hold" in problem for problem in long.problems_with(LABELS)] == [True]
    assert not list(ReplayConfig(hold=timedelta(minutes=5)).problems_with(LABELS))
    assert not list(FAULTY.problems())
    assert len(list(ReplayConfig(duplicates=1.5, burst=timedelta(0)).problems())) == 2
