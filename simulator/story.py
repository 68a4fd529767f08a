"""The story, step by step: which requests come, what becomes of their slates, and what is told when. Pure.

A step is asked for its requests, gets their slates, and gives the messages whose time has come. Everything that
outlives a step is in `StoryState`, so a story can stop and go on.
"""

import heapq
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from simulator import telling
from simulator.arrivals import Requests, join
from simulator.effects import Effects, effects_at
from simulator.outcomes import Outcomes, arms_of
from simulator.randomness import Draw, uniform
from simulator.scenario import Change
from simulator.world import World
from springtide.contracts import control
from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.events import AnyEvent
from springtide.contracts.scoring import SlateRequest, SlateResponse
from springtide.contracts.truth import AnyTruth, TruthFault, TruthScenario
from springtide.runtime.settings import milliseconds

FRESH: Final = 0
HELD: Final = 1
COPY: Final = 2
Pending = tuple[int, str, int, AnyEvent]
"""When to tell, event id, whether it is FRESH, HELD or a COPY, and the event."""
LONGEST_HOLD_MS: Final = 110_000
"""Longest time by which a fault tells an event late, or its copy after it."""


@dataclass(kw_only=True, slots=True)
class StoryState:
    """All that changes."""

    now_ms: int
    pending: list[Pending] = field(default_factory=list)
    """Heap of what is still to be told."""
    live_changes: list[Change] = field(default_factory=list)
    """Changes that commands have asked for."""
    counts: Counter[str] = field(default_factory=Counter)
    sums: dict[str, float] = field(default_factory=lambda: {"clicks": 0.0, "purchases": 0.0, "revenue": 0.0})
    """Expected clicks, purchases and revenue so far."""


@dataclass(kw_only=True, slots=True)
class Step:
    """What one step tells, each list in the order of telling."""

    end_ms: int
    requests: Requests
    effects: Effects
    events: list[AnyEvent] = field(default_factory=list)
    truths: list[AnyTruth] = field(default_factory=list)
    catalogue: list[CatalogueItem] = field(default_factory=list)
    commands: list[control.Ramp] = field(default_factory=list)


class Story:
    """Tells one world's story under a scenario."""

    def __init__(self, world: World, scenario: Sequence[Change], *, serves: bool = False) -> None:
        """Begin at the start; `serves`: no gateway logs the slates, so tell them too."""
        self.world, self._scenario, self._serves = world, list(scenario), serves
        self._step_ms = milliseconds(world.config.step)
        self.state = StoryState(now_ms=world.config.start_ms)
        self._extra: dict[str, Requests] = {}

    @property
    def changes(self) -> list[Change]:
        """Every change known, of the scenario and live."""
        return self._scenario + self.state.live_changes

    @property
    def over(self) -> bool:
        """Whether the last label window has closed and settled."""
        return self.state.now_ms >= self.world.horizon_ms

    def obey(self, change: Change) -> None:
        """Take up a live command from this step on; a repeated one changes nothing."""
        if change.name not in {known.name for known in self.changes}:
            self.state.live_changes.append(change)

    def opening(self) -> list[CatalogueItem]:
        """Give the catalogue as it is now."""
        now, effects = self.state.now_ms, effects_at(self.changes, self.state.now_ms)
        alive = np.flatnonzero(self.world.items.alive(now)).tolist()
        return [self.world.catalogue_item(item, now, effects) for item in alive]

    def begin(self) -> Step:
        """Give the step that begins now, with its requests; nothing changes yet."""
        now = self.state.now_ms
        end = now + self._step_ms
        parts = [self.world.arrivals.between(now, end)]
        parts += [self._traffic(change).between(now, end) for change in self.changes if self._adds_traffic(change, now)]
        return Step(end_ms=end, requests=join(parts), effects=effects_at(self.changes, now))

    def slate_requests(self, step: Step) -> list[SlateRequest]:
        """Say the step's requests in the gateway's words."""
        requests, world = step.requests, self.world
        rows = zip(requests.request_ids(), requests.user.tolist(), requests.time_ms.tolist(), strict=True)
        return [
            SlateRequest(
                user_id=world.population.user_id(user), event_time_ms=time, request_id=request_id,
                size=world.config.slate_size, context=world.context(user),
            )
            for request_id, user, time in rows
        ]  # fmt: skip

    def finish(self, step: Step, slates: Sequence[SlateResponse]) -> Step:
        """Let users see the slates, move the clock to the step's end, and fill in what is told."""
        state, now = self.state, self.state.now_ms
        self._turn(step, now)
        if slates:
            self._show(step, slates, self.world.outcomes.draw(step.requests, slates, step.effects))
        if self._serves:
            for event in telling.served(self.world, step.requests, slates):
                heapq.heappush(state.pending, (event.event_time_ms, event.event_id, COPY, event))
        self._release(step)
        step.catalogue = self._catalogue_changes(now, step)
        state.now_ms = step.end_ms
        state.counts["steps"] += 1
        return step

    def _show(self, step: Step, slates: Sequence[SlateResponse], outcomes: Outcomes) -> None:
        """Put the impressions and labels of the slates that are seen on the heap."""
        state, world = self.state, self.world
        lost = self._lost(step, slates)
        users = step.requests.user.tolist()
        bots = world.choice.is_bot(step.requests.user).tolist()
        for place, slate in enumerate(slates):
            state.counts["slates"] += 1
            shown = telling.impression(world, users[place], slate, outcomes, place)
            if lost[place]:
                self._fault(step, "lost", shown)
                continue
            self._push(shown)
            state.counts["impressions"] += len(shown.positions)
            if bots[place]:
                self._fault(step, "bot", shown)
                continue
            truth = telling.truth(shown.user_id, slate, outcomes, place)
            state.counts["seen_slates"] += 1
            state.sums["clicks"] += truth.expected_clicks
            state.sums["purchases"] += truth.expected_purchases
            state.sums["revenue"] += truth.expected_revenue
            step.truths.append(truth)
        gone = {slate.request_id for slate, is_lost in zip(slates, lost, strict=True) if is_lost}
        for label in telling.labels(world, step.requests, slates, outcomes):
            if label.event_id.partition(".")[0] not in gone:
                self._push(label)

    def _push(self, event: AnyEvent) -> None:
        if event.event_time_ms < self.world.horizon_ms:
            heapq.heappush(self.state.pending, (event.event_time_ms, event.event_id, FRESH, event))
        else:
            self.state.counts["beyond_horizon"] += 1

    def _release(self, step: Step) -> None:
        """Tell what is due before the step's end; faults hold some back and repeat some."""
        pending, effects = self.state.pending, step.effects
        faulty = effects.duplicates > 0 or effects.out_of_order > 0
        while pending and pending[0][0] < step.end_ms:
            due, event_id, kind, event = heapq.heappop(pending)
            if faulty and kind == FRESH:
                self._repeat(step, due, event)
                if self._hold(step, due, event):
                    continue
            step.events.append(event)
            self.state.counts[type(event).__name__.lower()] += 1

    def _repeat(self, step: Step, due: int, event: AnyEvent) -> None:
        luck, lag = self._luck(event, Draw.DUPLICATE), self._luck(event, Draw.DUPLICATE_LAG)
        if luck < step.effects.duplicates:
            heapq.heappush(self.state.pending, (due + 1 + int(lag * LONGEST_HOLD_MS), event.event_id, COPY, event))
            self._fault(step, "duplicate", event)

    def _hold(self, step: Step, due: int, event: AnyEvent) -> bool:
        luck, wait = self._luck(event, Draw.OUT_OF_ORDER), self._luck(event, Draw.HOLD)
        if luck >= step.effects.out_of_order:
            return False
        heapq.heappush(self.state.pending, (due + 1 + int(wait * LONGEST_HOLD_MS), event.event_id, HELD, event))
        self._fault(step, "out_of_order", event)
        return True

    def _luck(self, event: AnyEvent, kind: Draw) -> float:
        return float(uniform(self.world.config.seed, kind, zlib.crc32(event.event_id.encode()))[0])

    def _fault(self, step: Step, kind: str, event: AnyEvent) -> None:
        self.state.counts[f"fault_{kind}"] += 1
        detail = getattr(event, "request_id", "")
        step.truths.append(
            TruthFault(event_time_ms=event.event_time_ms, kind=kind, event_id=event.event_id, detail=detail)
        )

    def _lost(self, step: Step, slates: Sequence[SlateResponse]) -> list[bool]:
        """Tell which slates never show: a share of one arm's users, always the same users."""
        losses = step.effects.losses
        if not losses or not slates:
            return [False] * len(slates)
        lost = np.zeros(len(slates), dtype=bool)
        for arm, rate in losses.items():
            unlucky = uniform(self.world.config.seed, Draw.LOSS, zlib.crc32(arm.encode()), step.requests.user) < rate
            lost |= unlucky & np.array([arm in arms_of(slate) for slate in slates])
        return [bool(one) for one in lost]

    def _turn(self, step: Step, now: int) -> None:
        """Tell of changes that begin or end with this step."""
        before = now - self._step_ms if now > self.world.config.start_ms else -1
        for change in self.changes:
            for moment, kind in ((change.at_ms, change.kind), (change.until_ms, f"{change.kind}_end")):
                if before < moment <= now:
                    step.truths.append(
                        TruthScenario(
                            event_time_ms=now, kind=kind, task=change.task, factor=change.factor, detail=change.detail()
                        )
                    )
            if change.kind == "ramp" and before < change.at_ms <= now:
                step.commands.append(
                    control.Ramp(
                        command_id=change.name, issued_ms=now, experiment=change.experiment, enrolled=change.enrolled
                    )
                )

    def _catalogue_changes(self, now: int, step: Step) -> list[CatalogueItem]:
        """Give items that were born, died or changed their price since the last step."""
        items = self.world.items
        touched = ((items.born_ms > now) & (items.born_ms <= step.end_ms)) | (
            (items.dies_ms > now) & (items.dies_ms <= step.end_ms)
        )
        after = effects_at(self.changes, step.end_ms)
        if (after.sale_share, after.price_factor) != (step.effects.sale_share, step.effects.price_factor):
            share = max(after.sale_share, step.effects.sale_share)
            touched |= (items.sale_rank < share) & items.alive(step.end_ms)
        found = np.flatnonzero(touched).tolist()
        return [self.world.catalogue_item(item, step.end_ms, after) for item in found]

    def _adds_traffic(self, change: Change, now: int) -> bool:
        bots = change.kind == "fault" and change.fault == "bot"
        return (
            bots or change.traffic_factor > 1.0
        ) and change.at_ms - self._step_ms <= now < change.until_ms + 4 * 3600_000

    def _traffic(self, change: Change) -> Requests:
        if change.name not in self._extra:
            origin = 2**32 + zlib.crc32(change.name.encode())
            arrivals, end = self.world.arrivals, min(change.until_ms, self.world.config.end_ms)
            bots = change.kind == "fault"
            self._extra[change.name] = (
                arrivals.bots(change.at_ms, end, change.rate, origin)
                if bots
                else arrivals.extra(change.at_ms, end, change.traffic_factor - 1.0, origin)
            )
        return self._extra[change.name]
