"""Tells the story to the running system: asks the gateway, writes the answers down, sends the events."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from simulator.checkpoint import Keeper, StepLog, fingerprint, restore
from simulator.commands import Commands
from simulator.config import SimulatorConfig
from simulator.following import follow_reports
from simulator.gateway import Gateway, SlateSource, Stopped
from simulator.live_metrics import Telling
from simulator.output import Output
from simulator.policies import Policy, make_policy
from simulator.scenario import Change, read_scenario
from simulator.story import Step, Story
from simulator.world import World, make_world
from springtide.contracts.scoring import SlateResponse
from springtide.contracts.topics import CATALOGUE, CONTROL, EVENTS, METRICS, TRUTH
from springtide.contracts.truth import TruthScenario
from springtide.runtime.command_line import Runtime
from springtide.runtime.config import LabelsConfig
from springtide.runtime.kafka import wait_for_topics
from springtide.runtime.settings import milliseconds

_log = logging.getLogger(__name__)


def run_live(runtime: Runtime, config: SimulatorConfig, labels: LabelsConfig) -> None:
    """Tell the whole story, then stay until the end is asked for."""
    scenario = read_scenario(config.scenario, config.start_ms)
    world = make_world(config, labels)
    runtime.health.update(status="waiting for the broker")
    wait_for_topics(runtime.kafka, [topic.name for topic in (EVENTS, CATALOGUE, TRUTH, CONTROL, METRICS)])
    runtime.reporter.start()
    _log.info("seed %d, %d users, %d items, scenario %s", config.seed, config.users, config.items, config.scenario)
    teller = Teller(runtime, config, world, scenario)
    try:
        asyncio.run(teller.tell())
        if teller.story.over:
            runtime.health.update(ready=True, status="done", done=True)
            _log.info("done", extra=dict(teller.story.state.counts))
            if not config.exit_when_done:
                runtime.shutdown.wait()
    except Stopped as stop:
        _log.info("%s", stop)
    finally:
        teller.close()
        runtime.reporter.stop()


class Teller:
    """One run of a story, new or resumed."""

    def __init__(self, runtime: Runtime, config: SimulatorConfig, world: World, scenario: Sequence[Change]) -> None:
        self._runtime, self._config = runtime, config
        own = config.policy != "gateway"
        self._policy: Policy | None = make_policy(config.policy, world) if own else None
        self.story = Story(world, scenario, serves=own)
        self._keeper = Keeper(runtime.process.state_folder / "simulator", fingerprint(config, scenario))
        kept, self._logged = self._keeper.load()
        if kept is not None:
            self.story.state = restore(kept)
            if self._policy is not None:
                self._policy.restore(kept.policy)
            _log.info("resuming at %s, %d steps are repeated", self._when(), len(self._logged))
        self._fresh = kept is None
        self._output = Output(runtime.kafka)
        self._follower = follow_reports(
            runtime.kafka, config.follow, config.follow_patience, self.story.state.now_ms, config.end_ms
        )
        last = self._logged[-1].control_offset if self._logged else kept.control_offset if kept else None
        self._commands = Commands(runtime.kafka, last)
        self._telling = Telling()
        self._begun, self._begun_ms = time.monotonic(), self.story.state.now_ms

    async def tell(self) -> None:
        """Go step by step until the story is over or the end is asked for."""
        if self._fresh:
            self._output.catalogue(self.story.opening())
            self._output.ticks(self.story.state.now_ms)
            self._save()
        async with AsyncExitStack() as stack:
            source: SlateSource | None = None
            if self._policy is None:
                gateway = Gateway(self._config, lambda: self._runtime.shutdown.requested, self._waiting)
                source = await stack.enter_async_context(gateway)
            while not self.story.over and not self._runtime.shutdown.requested:
                await self._step(source)
                if self.story.state.counts["steps"] % self._config.checkpoint_every == 0:
                    self._save()
        self._save()

    async def _step(self, source: SlateSource | None) -> None:
        """Tell one step; of a step that was begun before a kill, the very same."""
        state = self.story.state
        if self._logged:
            known = self._logged.pop(0)
            state.live_changes = list(known.live_changes)
            step, slates = self.story.begin(), known.slates
        else:
            self._pace(state.now_ms)
            for change in self._commands.poll(state.now_ms):
                self.story.obey(change)
            step = self.story.begin()
            slates = await self._answers(source, step)
            self._keeper.log(
                StepLog(
                    now_ms=state.now_ms, control_offset=self._commands.offset, live_changes=state.live_changes,
                    slates=slates,
                )
            )  # fmt: skip
        self._send(self.story.finish(step, slates))
        if self._policy is not None:
            self._policy.learn(slates, step.events)
        self._telling.update(state, step)
        self._report()

    async def _answers(self, source: SlateSource | None, step: Step) -> list[SlateResponse]:
        if source is None:
            return self._policy.rank(step.requests, self.story.state.now_ms, step.effects) if self._policy else []
        return await source.slates(self.story.slate_requests(step))

    def _send(self, step: Step) -> None:
        """Send a step; its acknowledgements are awaited before the next is sent, or a checkpoint is written."""
        self._output.flush()
        self._output.catalogue(step.catalogue)
        self._output.commands(step.commands)
        self._output.events(step.events)
        self._output.truths(step.truths)
        self._output.ticks(step.end_ms)
        for truth in step.truths:
            if isinstance(truth, TruthScenario):
                self._runtime.reporter.mark(truth.kind, truth.detail, truth.event_time_ms, truth.task or "")

    def _pace(self, now_ms: int) -> None:
        """Hold the clock back to its speed, and to what the system follows."""
        if self._config.speed > 0:
            due = self._begun + (now_ms - self._begun_ms) / 1000 / self._config.speed
            self._runtime.shutdown.wait(max(due - time.monotonic(), 0.0))
        self._follower.wait(now_ms, lambda: self._runtime.shutdown.requested, self._waiting)

    def _waiting(self, reason: str) -> None:
        self._runtime.health.update(status=f"{self._when()} waiting for {reason}")

    def _save(self) -> None:
        self._output.flush()
        policy = self._policy.state() if self._policy is not None else {}
        self._keeper.save(self.story.state, self._commands.offset, policy)

    def _when(self) -> str:
        now_ms, start_ms = self.story.state.now_ms, self._config.start_ms
        day = (now_ms - start_ms) // 86_400_000
        return f"day {day} {datetime.fromtimestamp(now_ms / 1000, UTC):%H:%M}"

    def _report(self) -> None:
        state = self.story.state
        length = self._config.end_ms - self._config.start_ms + milliseconds(self._config.step)
        seen = max(state.counts["seen_slates"], 1)
        self._runtime.health.update(
            ready=True,
            status=f"{self._when()}, {state.counts['slates']} slates",
            done=False,
            virtual_time=datetime.fromtimestamp(state.now_ms / 1000, UTC).isoformat(),
            progress=round(min((state.now_ms - self._config.start_ms) / length, 1.0), 4),
            slates=state.counts["slates"],
            impressions=state.counts["impressions"],
            expected_clicks_per_slate=round(state.sums["clicks"] / seen, 4),
            expected_purchases_per_slate=round(state.sums["purchases"] / seen, 5),
        )

    def close(self) -> None:
        """Let every connection go."""
        self._output.close()
        self._follower.close()
        self._commands.close()
