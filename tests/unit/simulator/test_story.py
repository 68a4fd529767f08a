"""The story: order, faults and their ledger, arms, losses, resumption; and the golden stream of a tiny world."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from simulator.checkpoint import Keeper, StepLog, fingerprint, restore
from simulator.policies import make_policy
from simulator.scenario import Change, read_scenario
from simulator.story import Story
from simulator.world import make_world
from springtide.contracts.codec import encode
from springtide.contracts.errors import ContractError, StateError
from springtide.contracts.events import AnyEvent, Click, Impression, Purchase, Served
from springtide.contracts.scoring import SlateResponse
from springtide.contracts.truth import TruthFault, TruthScenario, TruthSlate
from tests.unit.simulator.conftest import LABELS, SMALL, Told, in_arms, play

HOUR_MS = 3_600_000
START = SMALL.start_ms
TINY = Path(__file__).parents[3] / "config" / "scenarios" / "tiny.toml"


def fault(kind: str, rate: float, hours: float = 24) -> Change:
    return Change(name=kind, kind="fault", fault=kind, rate=rate, at_ms=START, until_ms=START + round(hours * HOUR_MS))


def ledger(told: Told, kind: str) -> list[str]:
    return [truth.event_id for truth in told.truths if isinstance(truth, TruthFault) and truth.kind == kind]


@pytest.fixture(scope="module")
def plain() -> Told:
    return play()


def test_events_come_once_and_in_order_of_time(plain: Told) -> None:
    times = [event.event_time_ms for event in plain.events]
    assert times == sorted(times)
    ids = [event.event_id for event in plain.events]
    assert len(set(ids)) == len(ids)


def test_every_step_tells_only_what_is_due(plain: Told) -> None:
    start = START
    for step in plain.steps:
        assert all(start <= event.event_time_ms < step.end_ms for event in step.events)
        start = step.end_ms


def test_the_story_ends_after_the_last_window(plain: Told) -> None:
    last = max(event.event_time_ms for event in plain.events if isinstance(event, Impression))
    assert plain.story.state.now_ms >= last + LABELS.final_age.total_seconds() * 1000


def test_a_tenth_of_purchases_names_no_request() -> None:
    told = play(base_click=-0.5, base_cart=0.0, base_cart_purchase=0.5)
    bought = [event for event in told.events if isinstance(event, Purchase)]
    share = np.mean([event.request_id == "" for event in bought])
    assert abs(share - 0.1) < 4 * np.sqrt(0.09 / len(bought))
    clicked = {(event.user_id, event.item_id) for event in told.events if isinstance(event, Click)}
    assert all((event.user_id, event.item_id) in clicked for event in bought)


def test_repetitions_are_all_in_the_ledger(plain: Told) -> None:
    told = play(changes=[fault("duplicate", 0.3)])
    twice = [event_id for event_id, count in Counter(event.event_id for event in told.events).items() if count == 2]
    assert len(twice) > 50
    assert sorted(twice) == sorted(ledger(told, "duplicate"))
    assert {event.event_id for event in told.events} == {event.event_id for event in plain.events}


def test_late_events_are_in_the_ledger_and_within_the_lateness() -> None:
    config = replace(SMALL, step=timedelta(minutes=3), days=0.25)
    told, usual = play(config, [fault("out_of_order", 0.5)]), play(config)
    assert {encode(event) for event in told.events} == {encode(event) for event in usual.events}
    newest, behind = 0, set()
    for step in told.steps:
        for event in step.events:
            lateness = LABELS.allowed_lateness.total_seconds() * 1000
            assert event.event_time_ms > step.end_ms - lateness  # the last tick was a step earlier
            if event.event_time_ms < newest:
                behind.add(event.event_id)
            newest = max(newest, event.event_time_ms)
    assert len(behind) > 50
    assert behind <= set(ledger(told, "out_of_order"))


def test_bots_are_in_the_ledger_and_not_in_the_truth() -> None:
    told = play(changes=[fault("bot", 0.5, hours=12)])
    bots = set(ledger(told, "bot"))
    people = SMALL.users
    from_bots = {
        event.event_id for event in told.events if isinstance(event, Impression) and int(event.user_id[1:]) >= people
    }
    assert from_bots == bots
    assert not {f"{t.request_id}.i" for t in told.truths if isinstance(t, TruthSlate)} & bots


def test_lost_users_show_nothing_and_are_always_the_same() -> None:
    loss = Change(name="srm", kind="sample_ratio_mismatch", arm="aa-right", rate=0.3, at_ms=START)
    told = play(changes=[loss], answer=in_arms)
    lost = set(ledger(told, "lost"))
    shown = {event.event_id for event in told.events if isinstance(event, Impression)}
    assert not lost & shown
    assert lost | shown == {f"{slate.request_id}.i" for slate in told.slates}
    labelled = {f"{e.request_id}.i" for e in told.events if isinstance(e, Click)}
    assert not labelled & lost
    users = {truth.request_id: truth.user_id for truth in told.truths if isinstance(truth, TruthSlate)}
    seen_users = set(users.values())
    all_users = {f"u{user}" for step in told.steps for user in step.requests.user.tolist()}
    assert 0.2 < 1 - len(seen_users) / len(all_users) < 0.4


def test_a_lift_is_true_for_its_arm_alone(plain: Told) -> None:
    lift = Change(name="lift", kind="lift", arm="treatment", task="click", factor=1.2, at_ms=START)
    told = play(changes=[lift], answer=in_arms)
    before = {t.request_id: t for t in plain.truths if isinstance(t, TruthSlate)}
    for truth in told.truths:
        if isinstance(truth, TruthSlate):
            factor = 1.2 if truth.arm == "treatment" else 1.0
            assert truth.expected_clicks == pytest.approx(before[truth.request_id].expected_clicks * factor)
            assert truth.expected_purchases == pytest.approx(before[truth.request_id].expected_purchases * factor)


def test_arms_share_their_noise(plain: Told) -> None:
    """What is not lifted happens in the same way; what is lifted only adds clicks."""
    lift = Change(name="lift", kind="lift", arm="treatment", task="click", factor=1.5, at_ms=START)
    told = play(changes=[lift], answer=in_arms)
    before = {event.event_id for event in plain.events}
    after = {event.event_id for event in told.events}
    assert before < after


def test_a_shuffled_slate_changes_no_more_than_examination() -> None:
    def shuffled(slates: list[SlateResponse]) -> list[SlateResponse]:
        made = []
        for slate in slates:
            items = list(slate.item_ids)
            random.Random(slate.request_id).shuffle(items)
            made.append(msgspec.structs.replace(slate, item_ids=items))
        return made

    def clicks(told: Told) -> set[tuple[str, str]]:
        return {(e.request_id, e.item_id) for e in told.events if isinstance(e, Click)}

    same = replace(SMALL, position_severity=0.0, whole_slate=1.0)
    assert clicks(play(same)) == clicks(play(same, answer=shuffled))


def test_a_sale_brings_traffic_and_is_told_with_its_prices() -> None:
    sale = Change(
        name="sale", kind="flash_sale", traffic_factor=3.0, at_ms=START + 6 * HOUR_MS, until_ms=START + 9 * HOUR_MS
    )
    told, usual = play(changes=[sale]), play()
    kinds = [truth.kind for truth in told.truths if isinstance(truth, TruthScenario)]
    assert kinds == ["flash_sale", "flash_sale_end"]

    def inside(story: Told) -> int:
        return sum(len(s.requests) for s in story.steps if sale.at_ms < s.end_ms <= sale.until_ms)

    assert inside(told) > 2 * inside(usual)
    moments = [step.end_ms for step in told.steps if len(step.catalogue) > 30]
    assert moments == [sale.at_ms, sale.until_ms]


def test_births_and_deaths_are_told_once() -> None:
    told = play(births_per_day=50, deaths_per_day=50)
    known = {item.item_id: item for item in Story(told.story.world, []).opening()}
    assert all(item.available for item in known.values())
    for step in told.steps:
        for item in step.catalogue:
            if item.available:
                assert item.item_id not in known
            else:
                assert known[item.item_id].available
            known[item.item_id] = item
    shown = {item for slate in told.slates for item in slate.item_ids}
    assert shown <= set(known)


def test_an_unknown_item_is_a_broken_contract() -> None:
    def strange(slates: list[SlateResponse]) -> list[SlateResponse]:
        return [msgspec.structs.replace(slate, item_ids=["nobody"]) for slate in slates]

    with pytest.raises(ContractError, match="items of this world"):
        play(answer=strange)


def test_a_story_without_a_server_tells_its_slates() -> None:
    told = play(serves=True)
    seen: set[str] = set()
    for event in told.events:
        if isinstance(event, Served):
            seen.add(event.request_id)
        elif isinstance(event, Impression):
            assert event.request_id in seen


def test_personal_taste_is_worth_learning() -> None:
    per_slate = {}
    for policy in ("random", "popularity", "oracle"):
        story = play(users=400, items=600, policy=policy, sessions_per_day=5.0).story
        per_slate[policy] = {key: value / story.state.counts["seen_slates"] for key, value in story.state.sums.items()}
    for what in ("clicks", "purchases"):
        assert per_slate["oracle"][what] > 2.5 * per_slate["random"][what]
        assert per_slate["oracle"][what] > 1.6 * per_slate["popularity"][what]


def resume_at(hours: float, folder: Path) -> list[AnyEvent]:
    """Play with a stop: the checkpoint is older than the stop, the steps between are in the log."""
    config = replace(SMALL, policy="popularity", days=0.3)
    world, changes = make_world(config, LABELS), read_scenario(TINY, START)
    keeper = Keeper(folder, fingerprint(config, changes))
    story, policy = Story(world, changes), make_policy("popularity", world)
    told: dict[str, AnyEvent] = {}
    while story.state.now_ms < START + hours * HOUR_MS:
        if story.state.counts["steps"] % 17 == 0:
            keeper.save(story.state, 0, policy.state())
        step = story.begin()
        slates = policy.rank(step.requests, story.state.now_ms, step.effects)
        keeper.log(StepLog(now_ms=story.state.now_ms, control_offset=0, live_changes=[], slates=slates))
        policy.learn(slates, story.finish(step, slates).events)
        told.update((event.event_id, event) for event in step.events)
    kept, logged = keeper.load()
    assert kept is not None
    assert logged
    story, policy = Story(world, changes), make_policy("popularity", world)
    story.state = restore(kept)
    policy.restore(kept.policy)
    while not story.over:
        step = story.begin()
        slates = logged.pop(0).slates if logged else policy.rank(step.requests, story.state.now_ms, step.effects)
        policy.learn(slates, story.finish(step, slates).events)
        for event in step.events:
            assert told.setdefault(event.event_id, event) == event
    return sorted(told.values(), key=lambda event: event.event_id)


def test_a_resumed_story_is_the_same_story(tmp_path: Path) -> None:
    whole = play(changes=read_scenario(TINY, START), policy="popularity", days=0.3)
    events = sorted({event.event_id: event for event in whole.events}.values(), key=lambda event: event.event_id)
    assert resume_at(2.9, tmp_path / "a") == events
    assert resume_at(5.0, tmp_path / "b") == events


def test_a_torn_log_line_is_a_step_that_was_not_sent(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, "x")
    keeper.save(Story(make_world(SMALL, LABELS), []).state, 0, {})
    keeper.log(StepLog(now_ms=START, control_offset=0, live_changes=[], slates=[]))
    with (tmp_path / "steps.jsonl").open("ab") as file:
        file.write(b'{"now_ms": 12')
    _, steps = keeper.load()
    assert [step.now_ms for step in steps] == [START]


def test_the_state_of_another_story_is_refused(tmp_path: Path) -> None:
    state = Story(make_world(SMALL, LABELS), []).state
    Keeper(tmp_path, fingerprint(SMALL, [])).save(state, 0, {})
    with pytest.raises(StateError, match="remove the state folder"):
        Keeper(tmp_path, fingerprint(replace(SMALL, seed=8), [])).load()
    Keeper(tmp_path, fingerprint(replace(SMALL, speed=3.0), [])).load()


def test_golden() -> None:
    """The tiny stream, byte for byte; a change of it changes every seeded result, so say it in the change log."""
    told = play(changes=read_scenario(TINY, START), answer=in_arms, days=0.3)
    stream = b"\n".join([*map(encode, told.events), *(encode(t) for t in told.truths if isinstance(t, TruthFault))])
    assert hashlib.sha256(stream).hexdigest()[:16] == "25fcf8c8e872a55f"
