"""The audit against the batch join of everything at once: silent where rows are right, loud where one was planted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import msgspec
import pytest

from springtide.audit.audit import AuditReport, audit
from springtide.audit.batch_join import batch_join
from springtide.audit.expected import AuditRange
from springtide.contracts.events import AnyEvent, Click, Purchase, Refund
from springtide.contracts.samples import Sample
from tests.oracles.streams import HOUR, LABELS, disorder, make_events, with_ticks

DAY = 24 * HOUR
START = 1_700_000_000_000


@dataclass
class Stored:
    """Two topics in lists."""

    partitions: dict[int, list[AnyEvent]]
    samples: list[Sample]
    complete_from_ms: int = 0
    readings: int = 0

    def events(self) -> Iterator[tuple[int, AnyEvent]]:
        self.readings += 1
        for number, events in self.partitions.items():
            for event in events:
                yield number, event

    def rows(self) -> Iterator[Sample]:
        yield from self.samples


def make_source(seed: int, *, days: int = 6, until_ms: int = 10 * DAY) -> Stored:
    """Give a test lists of its own, to plant faults in."""
    told = draw_source(seed, days, until_ms)
    return Stored({number: list(log) for number, log in told.partitions.items()}, list(told.samples))


@cache
def draw_source(seed: int, days: int, until_ms: int) -> Stored:
    """Six bursts of slates a day apart in two partitions, disordered and repeated, with the rows that are right."""
    events = [
        event
        for day in range(days)
        for event in renamed(make_events(seed + day, slates=30, users=8, start_ms=START + day * DAY), day)
    ]
    events += refunds_of(events, seed)
    partitions: dict[int, list[AnyEvent]] = {0: [], 1: []}
    for event in sorted(events, key=lambda event: event.event_time_ms):
        partitions[int(event.user_id[1:]) % 2].append(event)
    logs = {
        number: with_ticks(disorder(part, seed), number, every_ms=HOUR, until_ms=until_ms)
        for number, part in partitions.items()
    }
    rows = batch_join(events, LABELS)
    random.Random(seed).shuffle(rows)
    return Stored(logs, rows)


def renamed(events: list[AnyEvent], day: int) -> Iterator[AnyEvent]:
    """Make ids of different days different; users and items stay, so that clicks of days compete for purchases."""
    for event in events:
        changes = {"event_id": f"d{day}-{event.event_id}"}
        if getattr(event, "request_id", ""):
            changes["request_id"] = f"d{day}-{event.request_id}"  # type: ignore[union-attr]
        yield msgspec.structs.replace(event, **changes)


def refunds_of(events: list[AnyEvent], seed: int) -> list[AnyEvent]:
    """Take back half of the purchases, some of them twice, some too late to count."""
    draw = random.Random(seed)
    bought = [event for event in events if isinstance(event, Purchase) and draw.random() < 0.5]
    return [
        Refund(
            event_id=f"{event.event_id}-back{number}", user_id=event.user_id, producer="t", purchase_id=event.event_id,
            event_time_ms=event.event_time_ms + draw.randrange(3 * DAY),
        )
        for event in bought
        for number in range(draw.choice([1, 1, 2]))
    ]  # fmt: skip


def run(source: Stored, *, slice_ms: int = DAY, from_ms: int = 0, to_ms: int = 2**62) -> AuditReport:
    return audit(source, LABELS, AuditRange(slice_ms=slice_ms, from_ms=from_ms, to_ms=to_ms))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("slice_ms", [3 * HOUR, DAY, 30 * DAY])
def test_right_rows_are_right_whatever_the_slices(seed: int, slice_ms: int) -> None:
    print(f"seed {seed}")
    source = make_source(seed)
    report = run(source, slice_ms=slice_ms)
    assert not report.verdict, report.to_dict()
    assert report.verdict.expected == report.verdict.said == len(source.samples) > 200
    assert sum(row.phase == "refunded" for row in source.samples) > 3
    assert source.readings == 1
    assert report.differences == []


def test_a_range_judges_its_slates_and_no_others() -> None:
    source = make_source(1)
    begin, end = START + 2 * DAY, START + 4 * DAY
    inside = [row for row in source.samples if begin <= row.impression_time_ms < end]
    report = run(source, from_ms=begin, to_ms=end)
    assert not report.verdict, report.to_dict()
    assert report.verdict.expected == len(inside) < len(source.samples)
    source.samples = inside
    assert run(source, from_ms=begin, to_ms=end).verdict.said == len(inside)


def test_a_wrong_a_missing_an_extra_and_a_twofold_row_are_each_named() -> None:
    source = make_source(2)
    rows = {row.row_id: row for row in source.samples}
    finals = sorted(row_id for row_id in rows if row_id.endswith(":final"))
    wrong, missing, twofold = finals[3], finals[10], finals[20]
    twisted = {**rows[wrong].labels, "cart": [1 - label for label in rows[wrong].labels["cart"]]}
    rows[wrong] = msgspec.structs.replace(rows[wrong], labels=twisted)
    del rows[missing]
    extra = msgspec.structs.replace(rows[finals[5]], row_id="ghost:final", request_id="ghost")
    variant = msgspec.structs.replace(rows[twofold], age_ms=7)
    source.samples = [*rows.values(), extra, variant, rows[finals[0]]]
    report = run(source)
    named = {(found.kind, found.row_id): found.fields for found in report.differences}
    assert set(named) == {
        ("wrong", wrong), ("missing", missing), ("unexpected", "ghost:final"), ("conflicts", twofold),
    }  # fmt: skip
    assert named["wrong", wrong] == [
        f"labels.cart: expected {[1 - label for label in twisted['cart']]!r}, got {twisted['cart']!r}"
    ]
    assert named["missing", missing][0].endswith("got no such row")
    assert named["unexpected", "ghost:final"][0].startswith("expected no such row")
    assert named["conflicts", twofold] == ["age_ms: expected 86400000, got 7"]
    assert report.verdict.repeated == 1
    assert report.verdict.to_dict()["missing"] == 1


def test_what_is_not_closed_yet_is_not_judged() -> None:
    source = make_source(3, until_ms=0)
    for number, events in source.partitions.items():
        source.partitions[number] = [event for event in events if event.event_time_ms < START + 5.5 * DAY]
    report = run(source)
    assert not report.verdict, report.to_dict()
    assert 0 < report.verdict.expected < len(source.samples)
    closed_ms = report.judged.due_before_ms - 24 * HOUR
    source.samples = [row for row in source.samples if row.impression_time_ms < closed_ms]  # the rest is not out yet
    assert not run(source).verdict
    half_open = run(Stored({0: source.partitions[0], 1: source.partitions[1][:40]}, source.samples))
    assert half_open.empty  # one partition stands still: its watermark bounds the rest


def test_what_retention_took_is_not_judged() -> None:
    source = make_source(4)
    source.complete_from_ms = START + 3 * DAY
    source.samples = [row for row in source.samples if row.impression_time_ms >= START + 3 * DAY]
    report = run(source)
    assert not report.verdict
    assert report.verdict.expected == len(source.samples)


def test_a_label_that_came_too_late_is_told_apart() -> None:
    source = make_source(5)
    row = next(row for row in source.samples if row.phase == "final" and not row.labels["click"][0])
    number = next(n for n, events in source.partitions.items() if any(e.user_id == row.user_id for e in events))
    late = Click(
        event_id="late", user_id=row.user_id, event_time_ms=row.impression_time_ms + 1_000, producer="t",
        request_id=row.request_id, item_id=row.item_ids[0],
    )  # fmt: skip
    log = source.partitions[number]
    place = next(i for i, event in enumerate(log) if event.event_time_ms > row.impression_time_ms + HOUR)
    log.insert(place, late)
    report = run(source)
    assert not report.verdict
    assert {found.row_id for found in report.differences} >= {row.row_id}
    assert {found.kind for found in report.differences} == {"late"}
    assert report.counts["late"] == 1


def test_memory_follows_the_slices_not_the_topic() -> None:
    short, long = run(make_source(6, days=4), slice_ms=6 * HOUR), run(make_source(6, days=12), slice_ms=6 * HOUR)
    assert long.verdict.expected > 2.5 * short.verdict.expected
    wide = run(make_source(6, days=12), slice_ms=90 * DAY)
    assert long.counts["held_most"] < 0.8 * wide.counts["held_most"]
