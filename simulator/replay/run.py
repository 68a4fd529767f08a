"""Replays a log: step by step of event time, held back by the feature job, resumed after a kill."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from simulator.config import SimulatorConfig
from simulator.live_metrics import CLOCK, EVENTS, IMPRESSIONS, SLATES
from simulator.output import Output
from simulator.replay.config import ReplayConfig
from simulator.replay.faults import ReplayFaults
from simulator.replay.features import read_features
from simulator.replay.log import Log, LogRow, read_log
from simulator.replay.mapping import read_mapping
from simulator.replay.telling import LogTeller
from springtide.contracts.errors import ConfigError, StateError
from springtide.contracts.events import AnyEvent, SlateFeatures
from springtide.contracts.topics import CATALOGUE, FEATURES, METRICS
from springtide.contracts.topics import EVENTS as EVENTS_TOPIC
from springtide.runtime.command_line import Runtime
from springtide.runtime.config import LabelsConfig
from springtide.runtime.kafka import wait_for_topics
from springtide.runtime.settings import milliseconds

_log = logging.getLogger(__name__)


class ReplayState(msgspec.Struct, kw_only=True):
    """How far the replay has come: all rows before `next_ms` are acknowledged."""

    file: str
    rows: int
    next_ms: int


def run_replay(runtime: Runtime, simulator: SimulatorConfig, labels: LabelsConfig, config: ReplayConfig) -> None:
    """Replay the whole log, then stay until the end is asked for.

    Raises:
        ConfigError: sections contradict each other.
    """
    problems = list(config.problems_with(labels))
    if problems:
        raise ConfigError(problems)
    runtime.health.update(status=f"reading {config.file.name}")
    log = read_log(config.file, read_mapping(config.mapping))
    _log.info("%d rows; ignored: %s", len(log.rows), dict(log.ignored))
    runtime.health.update(status="waiting for the broker")
    wait_for_topics(runtime.kafka, [topic.name for topic in (EVENTS_TOPIC, CATALOGUE, FEATURES, METRICS)])
    runtime.reporter.start()
    replay = Replay(runtime, config, log)
    settled = labels.final_age + labels.allowed_lateness + simulator.settle
    try:
        if replay.run(milliseconds(settled)):
            runtime.health.update(status="done", done=True)
            _log.info(
                "done", extra={**replay.teller.counts, **{f"fault_{k}": n for k, n in replay.faults.counts.items()}}
            )
            if not simulator.exit_when_done:
                runtime.shutdown.wait()
    finally:
        replay.close()
        runtime.reporter.stop()


class Replay:
    """One run over a log, new or resumed."""

    def __init__(self, runtime: Runtime, config: ReplayConfig, log: Log) -> None:
        self._runtime, self._config, self._rows = runtime, config, log.rows
        self._output = Output(runtime.kafka)
        self._reader = read_features(runtime.kafka, config.features_within, config.patience)
        self.teller = LogTeller(self._features)
        self.faults = ReplayFaults(config)
        if self.faults.active:
            _log.info(
                "faults: seed %d, %.1f %% of events twice, bursts out of order in %.1f %% of the time, held up to %s",
                config.fault_seed, 100 * config.duplicates, 100 * config.out_of_order, config.hold,
            )  # fmt: skip
        self._state_file = runtime.process.state_folder / "simulator" / "replay.json"
        self._step_ms = milliseconds(config.step)

    def run(self, settle_ms: int) -> bool:
        """Tell every row, and tick until `settle_ms` after the last; false: the end was asked for before."""
        if not self._rows:
            return True
        first = self._rows[0].time_ms // self._step_ms * self._step_ms
        horizon = self._rows[-1].time_ms + settle_ms
        now, place = self._resume(first)
        begun, begun_ms, steps = time.monotonic(), now, 0
        while now < horizon and not self._runtime.shutdown.requested:
            if self._config.speed > 0:
                due = begun + (now - begun_ms) / 1000 / self._config.speed
                self._runtime.shutdown.wait(max(due - time.monotonic(), 0.0))
            self._reader.wait(now, lambda: self._runtime.shutdown.requested, self._waiting(now))
            place = self._step(now + self._step_ms, place)
            now += self._step_ms
            steps += 1
            if steps % self._config.checkpoint_every == 0:
                self._save(now)
            self._report(now, (now - first) / (horizon - first))
        self._save(now)
        return now >= horizon

    def _step(self, end_ms: int, place: int) -> int:
        """Tell the rows before `end_ms` and a tick; gives the place of the first row not told."""
        events: list[AnyEvent] = []
        while place < len(self._rows) and self._rows[place].time_ms < end_ms:
            made, item = self.teller.tell(self._rows[place])
            events.extend(made)
            if item is not None:
                self._output.catalogue([item])
            place += 1
        told = self.faults.take(events, end_ms)
        self._output.events(told)
        self._output.ticks(end_ms)
        self._output.flush()
        for event in told:
            EVENTS.labels(type=type(event).__name__.lower()).inc()
        shown = sum(len(getattr(event, "positions", [])) for event in events)
        SLATES.inc(shown)
        IMPRESSIONS.inc(shown)
        if told:
            self._reader.told(max(event.event_time_ms for event in told))
        return place

    def _features(self, row: LogRow) -> SlateFeatures | None:
        if not self._config.features_within:
            return None
        return self._reader.newest.slate(
            row.user_id, row.item_id, row.category, row.price, self.teller.born_ms(row.item_id)
        )

    def _resume(self, first_ms: int) -> tuple[int, int]:
        """Give where to go on; the rows before are told to nobody, only remembered, but for those still held back."""
        if not self._state_file.exists():
            return first_ms, 0
        try:
            state = msgspec.json.decode(self._state_file.read_bytes(), type=ReplayState)
        except msgspec.DecodeError as error:
            raise StateError(f"{self._state_file}: expected a replay's state, got {error}; remove it") from error
        if (state.file, state.rows) != (self._config.file.name, len(self._rows)):
            raise StateError(
                f"{self._state_file}: expected the state of {self._config.file.name} with {len(self._rows)} rows, "
                f"got {state.file} with {state.rows}; remove the state folder"
            )
        place = 0
        while place < len(self._rows) and self._rows[place].time_ms < state.next_ms:
            self.faults.take(self.teller.tell(self._rows[place])[0], state.next_ms)
            place += 1
        return state.next_ms, place

    def _save(self, now_ms: int) -> None:
        state = ReplayState(file=self._config.file.name, rows=len(self._rows), next_ms=now_ms)
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        beside: Path = self._state_file.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(state))
        beside.replace(self._state_file)

    def _waiting(self, now_ms: int) -> Callable[[str], None]:
        return lambda reason: self._runtime.health.update(status=f"{_day(now_ms)} waiting for {reason}")

    def _report(self, now_ms: int, progress: float) -> None:
        CLOCK.set(now_ms / 1000)
        counts = self.teller.counts
        self._runtime.health.update(
            ready=True, status=f"{_day(now_ms)}, {counts['exposures']} exposures", done=False,
            virtual_time=datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(), progress=round(min(progress, 1.0), 4),
            slates=counts["exposures"], impressions=counts["exposures"], labels=counts["labels"],
            orphans=counts["orphans"], waits_given_up=self._reader.gave_up,
        )  # fmt: skip

    def close(self) -> None:
        """Let every connection go."""
        self._output.close()
        self._reader.close()


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
