"""One rank: its partitions of `samples`, and its part of each chain's model. Runs as a Ray actor, knows no Ray."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from springtide.contracts.bundle import Kind, Manifest
from springtide.contracts.errors import StateError
from springtide.contracts.samples import Phase, Sample
from springtide.contracts.topics import DAY_MS
from springtide.model.delayed.phases import PHASES, Method
from springtide.model.targets import CLOSED
from springtide.runtime.settings import milliseconds
from trainer.archive import Archive, ArchivedPart
from trainer.bundle_writer import BundleWriter
from trainer.chain_model import ChainModel, Mode, ScoredBatch
from trainer.closed_slates import decode_slates, encode_slates
from trainer.day_rows import DayReader, DayRows, archived_day
from trainer.days import day_end_ms
from trainer.export import export_part
from trainer.failpoints import reach
from trainer.held_scores import join_judged, judge_now
from trainer.judge import Judge, Trial
from trainer.live_feed import Intake, LiveFeed
from trainer.messages import CallReport, DayReport, Export, Meeting, RankSetup, SavedRank
from trainer.packing import pack, shuffled
from trainer.process_group import join_group
from trainer.rank_state import load_chain, load_rank, save_rank
from trainer.sample_source import SampleSource
from trainer.score_log import ScoreLog

LARGEST_READ = 1_000
"""Messages taken from Kafka at once."""


class Rank:
    """See the module; every method is called on all ranks at the same time, in the same order."""

    def __init__(self, setup: RankSetup) -> None:
        self._setup, self._config = setup, setup.config
        self._chains: dict[str, ChainModel] = {}
        keep_ms = milliseconds(setup.labels.final_age) + DAY_MS
        self._methods: dict[str, Method] = {"daily": "wait", "minute": self._config.delayed_feedback}
        self._phases = PHASES[self._methods["minute"]]
        source = SampleSource(setup.kafka, dict(setup.offsets))
        self._feed = LiveFeed(source, keep_ms, self._phases, self._config.guard_slates)
        self._archive = Archive(setup.archive) if setup.archive else None
        self._days = DayReader(self._config, setup.feast_folder, self._archive)
        self._day: DayRows | None = None
        self._old_day = False
        self._rows: Iterator[Sample] = iter(())
        self._idle = False
        self._judge = Judge(setup.bundles_root, setup.config)
        self._writer: BundleWriter | None = None
        self._scores = ScoreLog(setup.scores_folder)
        self._first = False

    def start(self, meeting: Meeting, checkpoint: Path | None) -> dict[str, list[str]]:
        """Form the group, make the models, take a checkpoint up; returns the tables that live here per chain."""
        group = join_group(meeting)
        self._first = meeting.rank == 0
        age_ms = milliseconds(self._setup.labels.observed_age)
        by_features = {"daily": False, "minute": self._config.delays_by_features}
        self._chains = {
            chain: ChainModel(self._setup.model, group, self._methods[chain], age_ms, by_features[chain])
            for chain in self._config.chains
        }
        if self._first:
            self._writer = BundleWriter(self._setup.bundles_root, self._setup.model, self._judge)
        if checkpoint is not None:
            load_rank(checkpoint, self._chains, self._feed)
        self._feed.source.open()
        return {chain: list(model.network.owned) for chain, model in self._chains.items()}

    def live(self, arrived_KT: Sequence[Sequence[float]]) -> CallReport:
        """Read on; the minute chain, if it runs, scores and learns the fast rows."""
        intake = self._read_live()
        reach("read")
        batches = list(pack(intake.fast, self._config.batch_rows)) if "minute" in self._chains else []
        report = CallReport()
        if "minute" in self._chains:
            report, scored = self._step("minute", "learn", arrived_KT, batches, True)
            self._scores.add("minute", scored)
            for batch in scored:
                self._hold(batch)
                report.judged.extend(judge_now(batch.samples, batch.targets, batch.probabilities_NT, self._phases[:1]))
        report.slates = intake.slates
        report.delays_ms = intake.delays_ms
        report.judged = join_judged([*report.judged, *intake.judged])
        report.exhausted = not intake.slates
        if report.exhausted and not self._idle:
            report.lag = self.lag()
        self._idle = report.exhausted
        report.newest_final_ms = dict(self._feed.newest_final_ms)
        report.newest_fast_ms = dict(self._feed.newest_fast_ms)
        report.final_days = self._feed.index.days("final")
        report.offsets = dict(self._feed.source.offsets)
        report.repeated, report.unjudged = self._feed.repeated, self._feed.held.unjudged
        report.late = self._feed.late
        report.dead = self._feed.source.take_dead()
        return report

    def lag(self) -> dict[int, int]:
        """Return the records that lie ahead, per partition owned."""
        return self._feed.source.lag()

    def begin_day(self, day: int) -> None:
        """Begin to read the day's final rows of the partitions owned, and to give them their features."""
        self._feed.begun_day = day
        self._days.begin(day, self._feed)

    def day_ready(self) -> bool:
        """Tell whether the day begun is read."""
        return self._days.ready()

    def open_day(self, day: int) -> DayReport:
        """Take the day that was begun."""
        self._day = self._days.take(day)
        return self._day.report

    def open_archived_day(self, day: int, parts: Sequence[ArchivedPart], share: float = 1.0) -> DayReport:
        """Take a share of the day's final rows from the archive, of the partitions that this rank would own."""
        if self._archive is None:
            raise StateError("trainer: expected an archive, got none; set trainer.archive")
        own = [part for part in parts if part.partition % self._config.ranks == torch.distributed.get_rank()]
        self._day = rows = archived_day(self._archive, day, own, share)
        self._old_day = True
        return rows.report

    def order_day(self, epoch: int | None) -> None:
        """Put the day's rows in line: in event time to be scored (no epoch), else shuffled for that epoch."""
        if self._day is None:
            raise StateError("trainer: expected an opened day, got none; call open_day first")
        samples = self._day.samples
        if epoch is None:
            ordered = sorted(samples, key=lambda sample: (sample.impression_time_ms, sample.row_id))
        else:
            ordered = shuffled(samples, self._config.seed + 1_000 * self._day.day + epoch)
        self._rows = iter(ordered)

    def close_day(self) -> None:
        """Let the day's rows go, and its place in the index too."""
        self._day, self._rows, self._old_day = None, iter(()), False

    def open_replay(self, after_day: int) -> None:
        """Put every row read so far that the minute chain learns, of impressions after the day, in line, once each."""
        spans = self._feed.spans_after(after_day)
        self._rows = _rows_after(self._feed.source.read(spans), after_day, self._phases)

    def forget_before(self, day: int) -> None:
        """Let go of where the days before lie."""
        self._feed.close_days_before(day)

    def step_rows(self, chain: str, mode: Mode, arrived_KT: Sequence[Sequence[float]]) -> CallReport:
        """Step over the next of the rows in line."""
        rows = self._config.batch_rows * self._config.steps_per_call
        samples = _take_rows(self._rows, rows)
        batches = list(pack(samples, self._config.batch_rows))
        report, scored = self._step(chain, mode, arrived_KT, batches, not samples)
        if mode == "score":
            if not self._old_day:  # whose rows were scored and told when they were new
                self._scores.add(chain, scored)
            judged = [judge_now(batch.samples, batch.targets, batch.probabilities_NT) for batch in scored]
            report.judged = join_judged([part for parts in judged for part in parts])
        return report

    def reanchor(self) -> None:
        """Make the minute chain a copy of the daily chain: model, optimizer and id tables."""
        self._chains["minute"].load_local_state(self._chains["daily"].local_state())

    def closed_window(self, before_ms: int | None) -> bytes:
        """Return this rank's slates of the last closed window, of impressions before a time or of all; see judge.py."""
        return encode_slates(self._feed.slates.window(milliseconds(self._config.guard_window), before_ms))

    def judge(self, trial: Trial, *windows: bytes) -> str:
        """Begin to judge a publication on all ranks' slates; rank 0 alone. Returns why what is served must go."""
        return self._judge.open(trial, [slate for window in windows for slate in decode_slates(window)])

    def restore(self, chain: str, checkpoint: Path) -> None:
        """Let a chain's model be again what it was at a checkpoint; what was read since stays read."""
        load_chain(checkpoint, chain, self._chains[chain])
        reach("restored")

    def export(self, chain: str, kind: Kind) -> Export:
        """Return this rank's part of a bundle, and begin a new delta."""
        part = export_part(self._chains[chain], kind, first=self._first)
        reach("exported")
        return part

    def write_bundle(self, manifest: Manifest, *exports: Export) -> Manifest:
        """Write a bundle of all ranks' parts and read it back as serving will; rank 0 alone.

        Raises:
            BundleError: the bundle must not be served, such as one with NaN.
            HarmfulUpdateError: it is worse than what is served.
        """
        if self._writer is None:
            raise StateError("trainer: expected rank 0 to write bundles, got another; ask rank 0")
        return self._writer.write(manifest, exports)

    def save(self, folder: Path) -> SavedRank:
        """Write this rank's part of a checkpoint into the folder."""
        self._scores.flush()
        return save_rank(folder, torch.distributed.get_rank(), self._chains, self._feed)

    def _read_live(self) -> Intake:
        """Read until a batch is full or the wait is over."""
        deadline = time.monotonic() + self._config.wait.total_seconds()
        most = min(LARGEST_READ, self._config.batch_rows)  # more than a batch, for a message is several rows
        whole = Intake()
        while True:
            left_ms = max(0, round((deadline - time.monotonic()) * 1000))
            intake = self._feed.read(most, left_ms)
            whole.add(intake)
            rows = sum(len(sample.item_ids) for sample in whole.fast)
            full = rows >= self._config.batch_rows or sum(whole.slates.values()) >= LARGEST_READ
            if full or time.monotonic() >= deadline:
                return whole

    def _step(
        self,
        chain: str,
        mode: Mode,
        arrived_KT: Sequence[Sequence[float]],
        batches: Sequence[Sequence[Sample]],
        exhausted: bool,
    ) -> tuple[CallReport, list[ScoredBatch]]:
        arrived = torch.tensor(arrived_KT, dtype=torch.float32)
        outcome = self._chains[chain].run(batches, mode, arrived, exhausted)
        report = CallReport(steps=outcome.steps, newest_ms=outcome.newest_ms, exhausted=outcome.exhausted)
        times = [sample.impression_time_ms for batch in batches for sample in batch]
        report.oldest_ms = min(times, default=0)
        for scored in outcome.scored:
            for sample in scored.samples:
                report.rows[sample.phase] = report.rows.get(sample.phase, 0) + len(sample.item_ids)
        return report, outcome.scored

    def _hold(self, scored: ScoredBatch) -> None:
        """Keep the scores of observed slates until their labels are final."""
        start = 0
        for sample in scored.samples:
            end = start + len(sample.item_ids)
            if sample.phase == "observed":
                open_T = tuple((scored.targets.maturity_NT[start] != CLOSED).tolist())
                weights_N = scored.targets.sampling_N[start:end]
                self._feed.held.hold(sample, np.array(scored.probabilities_NT[start:end]), open_T, weights_N)
            start = end


def _rows_after(samples: Iterator[Sample], after_day: int, phases: Sequence[Phase]) -> Iterator[Sample]:
    first_ms = day_end_ms(after_day)
    seen: set[str] = set()
    for sample in samples:
        learned = sample.phase in phases
        if not learned or sample.impression_time_ms < first_ms or sample.row_id in seen:
            continue
        seen.add(sample.row_id)
        yield sample


def _take_rows(samples: Iterator[Sample], rows: int) -> list[Sample]:
    taken: list[Sample] = []
    while rows > 0 and (more := list(islice(samples, 64))):
        taken += more
        rows -= sum(len(sample.item_ids) for sample in more)
    return taken
