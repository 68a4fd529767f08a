"""`python -m trainer.backfill --config FILE`: rebuilds the daily chain from archived days, without broker or Feast.

With as many ranks as the live trainer had, the order of rows and the bounds of batches follow from row ids, seed and
settings alone, so on one rank the parameters equal the live chain's bit for bit. Another number of ranks deals the rows
into other global batches: another order of learning, and as good. The minute chain has no such order, for its batches
are what had come when it looked; it starts anew from a rebuilt base.
"""

import contextlib
import dataclasses
import fcntl
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from springtide.contracts.errors import ConfigError, ExitCode, SpringtideError, StackError
from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig
from springtide.model.level import HOURS
from springtide.model.presets import preset
from springtide.runtime.command_line import Runtime, run_process
from springtide.runtime.config import BundlesConfig, LabelsConfig
from springtide.runtime.settings import plain
from trainer.archive import Archive, ArchivedDay, archive_root
from trainer.backfill_config import BackfillConfig, chosen_days
from trainer.checkpoint import CheckpointFolder
from trainer.config import TrainerConfig
from trainer.day_lesson import day_lesson
from trainer.days import day_end_ms, day_text
from trainer.gauges import figures
from trainer.messages import CallReport, RankSetup
from trainer.progress import Progress
from trainer.publisher import next_manifest, prune
from trainer.rank_group import RankGroup

CHAIN: Final = "daily"
ALL_ARRIVED: Final = [[1.0] * len(TASKS)] * HOURS
"""Of final rows every label has come."""
DECISIVE: Final = ("preset", "ranks", "batch_rows", "steps_per_call", "daily_epochs", "daily_features", "seed")
"""Settings that decide what the chain learns from its rows."""


class BackfillStoppedError(SpringtideError):
    """A signal came; started again, the backfill goes on."""

    exit_code = ExitCode.INTERRUPTED


class Backfill:
    """One rebuild: after each day a bundle and a checkpoint in the folder `out`, so that it can stop and go on."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        state = runtime.process.state_folder
        self._wish: BackfillConfig = runtime.sections["backfill"]
        self._config: TrainerConfig = dataclasses.replace(runtime.sections["trainer"], chains=(CHAIN,))
        self._model: ModelConfig = preset(self._config.preset, runtime.sections["model"])
        self._archive = Archive(archive_root(self._config.archive, state))
        self._out = state / self._wish.out
        self._root = BundlesConfig().root(self._out)
        self._checkpoints = CheckpointFolder(self._out / "checkpoints", self._config.checkpoints_kept)
        labels: LabelsConfig = runtime.sections["labels"]
        self._progress = Progress.new((CHAIN,), labels, self._config.quality_window)

    def run(self) -> None:
        """Learn the days that are left.

        Raises:
            BackfillStoppedError: a signal came; the day under way is given up.
            ConfigError: the archive lacks a day, or `out` holds a rebuild by other settings.
            StateError: an archived day is damaged.
            StackError: another rebuild works in `out`.
        """
        with _alone(self._out):
            self._rebuild()

    def _rebuild(self) -> None:
        wanted = chosen_days(self._wish, self._archive.days(), self._archive.root)
        archived = {day: self._archive.read_day(day) for day in wanted}
        self._check_features(list(archived.values()))
        newest = self._checkpoints.newest()
        first = wanted[0]
        if newest is not None:
            self._check_begun(newest[1].driver, newest[1].model_config, first)
            self._progress.load(newest[1].driver)
        learned = self._progress.counts.last_day
        left = [day for day in wanted if learned is None or day > learned]
        if learned is not None:
            _tell(f"going on after {day_text(learned)}, which {self._out} holds")
        if left:
            self._learn(left, archived, first, newest[0] if newest else None)
        version = self._progress.chain(CHAIN).version
        _tell(f"{version} in {self._root / CHAIN / version}; a trainer that finds {self._out / 'checkpoints'} as its "
              "own folder trainer/checkpoints goes on from there")  # fmt: skip

    def _learn(self, days: Sequence[int], archived: dict[int, ArchivedDay], first: int, checkpoint: Any) -> None:
        self._group = RankGroup(self._config, self._setups(), self._runtime.process.log_level)
        self._runtime.shutdown.install()  # again: Ray has taken SIGTERM over
        try:
            self._group.form(checkpoint)
            self._runtime.health.update(ready=True)
            for number, day in enumerate(days, start=1):
                self._learn_day(archived[day], f"{day_text(day)} ({number} of {len(days)})")
                self._save(first)
        finally:
            self._group.stop()

    def _learn_day(self, archived: ArchivedDay, name: str) -> None:
        begun = time.monotonic()
        _tell(f"{name}: {archived.rows:,} rows")
        self._runtime.health.update(status=f"learning {name}")
        self._group.call("open_archived_day", archived.day, archived.parts)
        scored, *epochs = day_lesson(self._group, self._config.daily_epochs, self._step)
        progress = self._progress.chain(CHAIN)
        self._progress.judge(CHAIN, scored.judged)
        progress.rows += sum(sum(learned.rows.values()) for learned in epochs)
        progress.newest_ms = max(progress.newest_ms, *(learned.newest_ms for learned in epochs))
        self._progress.counts.last_day = archived.day
        self._progress.counts.learned_days += 1
        metrics = self._metrics()
        manifest = next_manifest(
            CHAIN, "base", progress, preset=self._config.preset, model=self._model, offsets={},
            watermark_ms=day_end_ms(archived.day), metrics=metrics,
        )  # fmt: skip
        manifest = self._group.call_first("write_bundle", manifest, "export", CHAIN, "base")
        progress.base_number += 1
        progress.sequence, progress.version = manifest.sequence, manifest.version
        progress.base_version = manifest.base_version
        prune(self._root, CHAIN, self._config.bases_kept)
        entropy = ", ".join(f"{task} NE {metrics[f'{task}/ne']:.3f}" for task in TASKS if f"{task}/ne" in metrics)
        _tell(f"{name}: {manifest.version} in {time.monotonic() - begun:.1f} s, scored before learned: {entropy}")

    def _step(self, mode: Literal["learn", "score"]) -> CallReport:
        """Step over all rows in line; a signal ends it between two calls."""
        whole = CallReport()
        while True:
            if self._runtime.shutdown.requested:
                raise BackfillStoppedError(
                    "backfill: expected to reach the last day, got a signal; start it again and it goes on"
                )
            reports: list[CallReport] = self._group.call("step_rows", CHAIN, mode, ALL_ARRIVED)
            report = reports[0]
            for other in reports[1:]:
                report.add(other)
            if report.exhausted and not report.steps:
                return whole
            whole.add(report)

    def _metrics(self) -> dict[str, float]:
        return {
            f"{task}/{name}": value
            for task in TASKS
            for name, value in figures(self._progress.quality(CHAIN, task, "matured").report()).items()
        }

    def _save(self, first: int) -> None:
        beside = self._checkpoints.begin()
        try:
            saved = self._group.call("save", beside)
            driver = {**self._progress.to_dict(), "backfill": self._decisive(first)}
            self._checkpoints.commit(beside, saved, driver, self._model.to_dict())
        except BaseException:
            self._checkpoints.give_up(beside)
            raise

    def _decisive(self, first: int) -> dict[str, Any]:
        values = {key: plain(getattr(self._config, key)) for key in DECISIVE}
        return {"first_day": day_text(first), **values}

    def _check_begun(self, driver: dict[str, Any], model: dict[str, Any], first: int) -> None:
        begun, now = driver.get("backfill", {}), self._decisive(first)
        differing = [
            f"{self._out}: expected {key} {begun.get(key)!r}, by which it was begun, got {now[key]!r}; choose another "
            "folder with --out, or remove it"
            for key in now
            if begun.get(key) != now[key]
        ]
        if not differing and model != msgspec.json.decode(msgspec.json.encode(self._model.to_dict())):
            differing = [
                f"{self._out}: expected the settings [model] by which it was begun, got others; choose another folder "
                "with --out, or remove it"
            ]
        if differing:
            raise ConfigError(differing)

    def _check_features(self, days: Sequence[ArchivedDay]) -> None:
        other = [day for day in days if day.features != self._config.daily_features]
        if other:
            raise ConfigError(
                [
                    f"trainer.daily_features: expected {other[0].features!r}, which the rows of "
                    f"{day_text(other[0].day)} were archived with, got {self._config.daily_features!r}; set it so"
                ]
            )

    def _setups(self) -> list[RankSetup]:
        setup = RankSetup(
            config=self._config,
            model=self._model,
            kafka=self._runtime.kafka,
            labels=self._runtime.sections["labels"],
            bundles_root=self._root,
            feast_folder=self._out,
            offsets={},
            archive=self._archive.root,
        )
        return [setup] * self._config.ranks


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "backfill.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(
                f"{folder}: expected no other rebuild in it, got one; wait for it, or choose another folder with --out",
                ExitCode.ALREADY_RUNNING,
            ) from error
        yield


def _tell(text: str) -> None:
    print(text, flush=True)


def main(runtime: Runtime) -> None:
    """Rebuild, and end."""
    Backfill(runtime).run()


if __name__ == "__main__":
    sections = {
        "trainer": TrainerConfig, "model": ModelConfig, "labels": LabelsConfig, "backfill": BackfillConfig
    }  # fmt: skip
    sys.exit(run_process("trainer", "Rebuilds the daily chain from archived days.", sections, main))
