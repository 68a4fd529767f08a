"""The driver: reads on with the ranks, learns each day when it is complete, publishes, saves; resumes where it was."""

import json
import logging
import time
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Any

from springtide.contracts.bundle import Kind
from springtide.contracts.errors import ConfigError, StateError
from springtide.contracts.features import FEAST_FOLDER
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import DEAD_LETTER, MODEL_UPDATES, SAMPLES
from springtide.model.config import ModelConfig
from springtide.model.level import HOURS
from springtide.model.presets import preset
from springtide.runtime.clock import Clock, SystemClock
from springtide.runtime.command_line import Runtime
from springtide.runtime.config import BundlesConfig, LabelsConfig
from springtide.runtime.kafka import wait_for_topics
from springtide.runtime.settings import milliseconds
from trainer.announcer import Announcer
from trainer.archive import Archive, archive_root
from trainer.checkpoint import CheckpointFolder
from trainer.config import TrainerConfig
from trainer.day_lesson import day_lesson
from trainer.days import Cadence, complete_day, day_end_ms, day_of, day_text
from trainer.forgetting import score_old_day, watched, watched_day
from trainer.gauges import Gauges
from trainer.guarded_publisher import GuardedPublisher
from trainer.messages import CallReport, DayReport, RankSetup
from trainer.progress import Progress
from trainer.publisher import newest_base_number
from trainer.rank_group import RankGroup
from trainer.status import status_line

_log = logging.getLogger(__name__)


_DOING = {"score": "scoring", "learn": "learning"}


class Driver:
    """One life of the trainer."""

    def __init__(self, runtime: Runtime, gauges: Gauges, clock: Clock | None = None) -> None:
        self._runtime = runtime
        self._config: TrainerConfig = runtime.sections["trainer"]
        self._labels: LabelsConfig = runtime.sections["labels"]
        if found := list(self._config.label_problems(self._labels)):
            raise ConfigError(found)
        self._model: ModelConfig = preset(self._config.preset, runtime.sections["model"])
        bundles: BundlesConfig = runtime.sections["bundles"]
        self._root = bundles.root(runtime.process.state_folder)
        self._folder = runtime.process.state_folder / "trainer"
        root = archive_root(self._config.archive, runtime.process.state_folder)
        self._archive = Archive(root, milliseconds(self._config.archive_kept)) if root else None
        self._clock, self._gauges = clock or SystemClock(), gauges
        self._checkpoints = CheckpointFolder(self._folder / "checkpoints", self._config.checkpoints_kept)
        self._progress = Progress.new(self._config.chains, self._labels, self._config.quality_window)
        self._cadence = Cadence(
            first_base_after_ms=milliseconds(self._config.first_base_after),
            delta_every_ms=milliseconds(self._config.delta_every),
        )
        self._needs_base = set(self._config.chains)
        self._reading: int | None = None
        self._saved = self._clock.monotonic()

    def run(self) -> None:
        """Work until shutdown is asked for."""
        kafka = self._runtime.kafka
        self._status("waiting for the broker")
        wait_for_topics(kafka, [SAMPLES.name, MODEL_UPDATES.name, DEAD_LETTER.name])
        self._announcer = Announcer(kafka)
        self._status("starting the ranks")
        self._group = RankGroup(self._config, self._setups(), self._runtime.process.log_level)
        self._runtime.shutdown.install()  # again: Ray has taken SIGTERM over
        self._publisher = self._make_publisher()
        try:
            self._resume()
            self._runtime.health.update(ready=True)
            _log.info("learning; seeds: model %d, order %d", self._model.seed, self._config.seed)
            while not self._runtime.shutdown.requested:
                self._turn()
            self._save()
        finally:
            self._group.stop()
            self._announcer.close()

    def _turn(self) -> None:
        """Read on once, and do what has become due."""
        report = self._live()
        if "minute" in self._config.chains and self._publication_due():
            self._publisher.publish("minute", self._minute_kind())
        due = self._days_due()
        for day in due:
            if self._day_read(day) or len(due) > 1:  # behind by days: what is read on would be replayed after each
                self._learn_day(day)
        if self._anchor_due():
            self._reanchor()
        if self._clock.monotonic() - self._saved >= self._config.checkpoint_every.total_seconds():
            self._save()
        self._status(status_line(self._progress, self._config.chains, reading=not report.exhausted))

    def _live(self) -> CallReport:
        report = self._call("live", self._arrived())
        self._announcer.bury(report.dead)
        self._progress.take(report)
        self._gauges.live(report)
        self._gauges.lag(report.lag)
        if "minute" in self._config.chains:
            self._gauges.learned("minute", report)
            self._learned("minute", report)
            self._progress.judge("minute", report.judged)
        return report

    def _learned(self, chain: str, report: CallReport) -> None:
        progress = self._progress.chain(chain)
        progress.rows += sum(report.rows.values())
        progress.newest_ms = max(progress.newest_ms, report.newest_ms)
        if progress.started_ms is None and report.oldest_ms:
            progress.started_ms = report.oldest_ms
        self._gauges.newest(chain, progress.newest_ms)

    def _publication_due(self) -> bool:
        progress = self._progress.chain("minute")
        if progress.started_ms is None:
            return False
        return self._cadence.due(
            started_ms=progress.started_ms, newest_ms=progress.newest_ms, published_ms=progress.published_ms
        )

    def _minute_kind(self) -> Kind:
        """A base where none is yet; without a daily chain one more at each new day."""
        progress = self._progress.chain("minute")
        if "minute" in self._needs_base or progress.published_ms is None:
            return "base"
        alone = "daily" not in self._config.chains
        return "base" if alone and day_of(progress.newest_ms) > day_of(progress.published_ms) else "delta"

    def _days_due(self) -> list[int]:
        """Days that are complete and not yet learned by the daily chain, oldest first."""
        if "daily" not in self._config.chains:
            return []
        counts = self._progress.counts
        newest = complete_day(
            counts.newest_final_ms, self._runtime.kafka.partitions, milliseconds(self._config.day_margin)
        )
        if newest is None:
            return []
        last = counts.last_day
        return sorted(day for day in self._progress.final_days if day <= newest and (last is None or day > last))

    def _day_read(self, day: int) -> bool:
        """Let the ranks read the day beside all else; tells whether they have, so that no one need wait."""
        if self._reading != day:
            self._reading = day
            self._group.call("begin_day", day)
        return all(self._group.call("day_ready"))

    def _learn_day(self, day: int) -> None:
        """Learn a complete day in the daily chain, publish it, and start the minute chain from it."""
        begun = time.monotonic()
        self._status(f"daily: ordering {day_text(day)}")
        reports: list[DayReport] = self._group.call("open_day", day)
        self._write_skew(day, reports)
        lesson = day_lesson(
            self._group,
            self._config.daily_epochs,
            lambda mode: self._all_rows("daily", mode, f"daily: {_DOING[mode]} {day_text(day)}"),
        )
        self._progress.judge("daily", next(lesson).judged)
        refused = self._publisher.refuse_day(day_end_ms(day))
        if refused:
            self._group.call("close_day")
        elif self._archive is not None:
            parts = [part for report in reports for part in report.archived]
            self._archive.close_day(day, self._config.daily_features, parts)
        for learned in () if refused else lesson:
            self._learned("daily", learned)
        self._progress.counts.last_day = day
        if not refused and self._publisher.publish("daily", "base", watermark_ms=day_end_ms(day)):
            self._runtime.reporter.mark("day", f"daily base of {day_text(day)}", day_end_ms(day))
            rows = sum(report.rows for report in reports)
            _log.info("%s: %d final rows learned in %.1f s", day_text(day), rows, time.monotonic() - begun)
        self._group.call("forget_before", day + 1)
        if not refused:
            self._look_back(day)

    def _look_back(self, day: int) -> None:
        """Score an old day by the base that has just learned `day`; what cannot be read stops nothing."""
        counts = self._progress.counts
        counts.learned_days += 1
        watch = watched_day(counts.old_day, day, counts.learned_days, self._config.forgetting_day)
        if self._archive is None or watch is None:
            return
        name = day_text(watch)
        try:
            found = score_old_day(
                self._group, self._archive, watch, self._config.forgetting_rows,
                lambda mode: self._all_rows("daily", mode, f"daily: looking back at {name}"),
            )  # fmt: skip
        except StateError as error:
            _log.warning("no look back: %s", error)
            return
        counts.old_day = watched(counts.old_day, watch, found)
        self._gauges.old_day(counts.old_day)
        for task, then in counts.old_day.then.items():
            if "ne" in then and "ne" in found.get(task, {}):
                _log.info("what is kept of %s: %s NE %.3f then, %.3f now", name, task, then["ne"], found[task]["ne"])

    def _anchor_due(self) -> bool:
        """Tell whether the daily chain has a base that the minute chain did not start from, also after a restart."""
        counts = self._progress.counts
        return "minute" in self._config.chains and counts.last_day != counts.anchored_day

    def _reanchor(self) -> None:
        """Start the minute chain from the daily base, replay the fast rows since, and publish."""
        begun = time.monotonic()
        day = self._progress.counts.last_day
        self._group.call("reanchor")
        self._group.call("open_replay", day)
        replayed = self._all_rows("minute", "learn", "minute: replaying")
        daily, minute = self._progress.chain("daily"), self._progress.chain("minute")
        minute.rows = daily.rows + sum(replayed.rows.values())
        self._progress.counts.anchored_day = day
        _log.info("minute: %d rows replayed in %.1f s", sum(replayed.rows.values()), time.monotonic() - begun)
        self._publisher.publish("minute", "base")

    def _all_rows(self, chain: str, mode: str, status: str) -> CallReport:
        """Step over all rows in line; shutdown waits, since half a day is no state to save."""
        whole = CallReport()
        while True:
            report = self._call("step_rows", chain, mode, self._arrived())
            if report.exhausted and not report.steps:
                return whole
            whole.add(report)
            if mode == "learn":
                self._gauges.learned(chain, report)
            self._status(f"{status}, {sum(whole.rows.values()):,} rows")

    def _arrived(self) -> list[list[float]]:
        shares = self._progress.arrived(milliseconds(self._labels.observed_age), HOURS)
        self._gauges.arrived({task: share for task, share in zip(TASKS, shares[0], strict=True) if not isnan(share)})
        return shares

    def _call(self, method: str, *arguments: Any) -> CallReport:
        reports: list[CallReport] = self._group.call(method, *arguments)
        whole = reports[0]
        for report in reports[1:]:
            whole.add(report)
        return whole

    def _save(self) -> None:
        beside = self._checkpoints.begin()
        try:
            saved = self._group.call("save", beside)
            self._checkpoints.commit(
                beside, saved, self._progress.to_dict(), self._model.to_dict(), self._progress.pinned()
            )
        except BaseException:
            self._checkpoints.give_up(beside)
            raise
        self._saved = self._clock.monotonic()
        self._gauges.lag(_laid_together(self._group.call("lag")))

    def _resume(self) -> None:
        newest = self._checkpoints.newest()
        placed = self._group.form(newest[0] if newest else None)
        self._runtime.health.update(rank_pids=self._group.pids())
        _log.info("tables per rank: %s", [tables.get(self._config.chains[0]) for tables in placed])
        if newest is not None:
            folder, manifest = newest
            self._progress.load(manifest.driver)
            if self._progress.counts.old_day is not None:
                self._gauges.old_day(self._progress.counts.old_day)
            _log.info("resumed checkpoint %s at offsets %s", folder.name, self._progress.counts.offsets)
        for chain in self._config.chains:
            progress = self._progress.chain(chain)
            progress.base_number = max(progress.base_number, newest_base_number(self._root, chain))
        self._publisher.resume()

    def _make_publisher(self) -> GuardedPublisher:
        return GuardedPublisher(
            config=self._config,
            model=self._model,
            labels=self._labels,
            root=self._root,
            progress=self._progress,
            ranks=self._group,
            announcer=self._announcer,
            checkpoints=self._checkpoints,
            save=self._save,
            arrived=self._arrived,
            gauges=self._gauges,
            health=self._runtime.health,
            reporter=self._runtime.reporter,
            clock=self._clock,
            needs_base=self._needs_base,
        )

    def _setups(self) -> list[RankSetup]:
        partitions = range(self._runtime.kafka.partitions)
        return [
            RankSetup(
                config=self._config,
                model=self._model,
                kafka=self._runtime.kafka,
                labels=self._labels,
                bundles_root=self._root,
                feast_folder=self._runtime.process.state_folder / FEAST_FOLDER,
                archive=self._archive.root if self._archive else "",
                scores_folder=self._folder / "scores" if self._config.keep_scores else None,
                offsets={partition: 0 for partition in partitions if partition % self._config.ranks == rank},
            )
            for rank in range(self._config.ranks)
        ]

    def _write_skew(self, day: int, reports: list[DayReport]) -> None:
        """Keep how far logged features were from those of the moment, for whoever looks into it."""
        path = Path(self._folder / "skew" / f"{day_text(day)}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([report.skew for report in reports], indent=1))
        slates = sum(report.slates for report in reports)
        without = sum(report.without_logged for report in reports)
        _log.info("%s: %d final slates, %d without logged features; skew in %s", day_text(day), slates, without, path)

    def _status(self, text: str) -> None:
        rows = {name: chain.rows for name, chain in self._progress.counts.chains.items()}
        self._runtime.health.update(status=text, rows=rows)


def _laid_together(parts: list[Mapping[int, int]]) -> dict[int, int]:
    return {key: value for part in parts for key, value in part.items()}
