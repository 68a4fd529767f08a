"""A rank on archived days, without Ray or broker: what looking back at an old day tells, and changes: nothing."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist

from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig
from springtide.model.level import HOURS
from springtide.runtime.config import KafkaConfig
from tests.oracles.streams import LABELS
from trainer.archive import Archive
from trainer.config import TrainerConfig
from trainer.day_lesson import day_lesson
from trainer.driver import Driver
from trainer.messages import CallReport, Meeting, RankSetup
from trainer.progress import Progress
from trainer.rank import Rank

FIRST = 20_000
CONFIG = TrainerConfig(
    ranks=1, chains=("daily",), daily_features="logged", batch_rows=256, forgetting_day=2, forgetting_rows=800
)


class OneRank:
    """A group of one rank in this process."""

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    def call(self, method: str, *arguments: Any) -> list[Any]:
        return [getattr(self.rank, method)(*arguments)]

    def step(self, mode: Any) -> CallReport:
        whole = CallReport()
        while True:
            report = self.rank.step_rows("daily", mode, [[1.0] * len(TASKS)] * HOURS)
            if report.exhausted and not report.steps:
                return whole
            whole.add(report)

    def learn(self, archive: Archive, day: int) -> None:
        self.call("open_archived_day", day, archive.read_day(day).parts)
        list(day_lesson(self, 1, self.step))

    def state(self) -> dict[str, torch.Tensor]:
        return {name: part.clone() for name, part in self.rank._chains["daily"].local_state().items()}


@pytest.fixture
def archive(world: Any, tmp_path: Path) -> Archive:
    archive = Archive(str(tmp_path / "archive"))
    for number in range(4):
        rows = world.closed_day(number)[:300]
        parts = [archive.write_part(FIRST + number, partition, rows[partition::2]) for partition in range(2)]
        archive.close_day(FIRST + number, "logged", parts)
    return archive


@pytest.fixture
def ranks(archive: Archive, tmp_path: Path) -> Iterator[OneRank]:
    setup = RankSetup(
        config=CONFIG, model=ModelConfig(), kafka=KafkaConfig(bootstrap="127.0.0.1:1"), labels=LABELS,
        bundles_root=tmp_path, feast_folder=tmp_path, offsets={}, archive=archive.root,
    )  # fmt: skip
    rank = Rank(setup)
    rank.start(Meeting(rank=0, world_size=1, host="127.0.0.1", port=0, timeout=timedelta(seconds=60)), None)
    yield OneRank(rank)
    dist.destroy_process_group()


def driver(ranks: OneRank, archive: Archive, told: list[Any]) -> Driver:
    """A driver's part that looks back, on one rank in this process."""
    made = object.__new__(Driver)
    made._config, made._labels, made._archive = CONFIG, LABELS, archive
    made._group = ranks  # type: ignore[assignment]
    made._progress = Progress.new(("daily",), LABELS, timedelta(days=1))
    made._gauges = SimpleNamespace(old_day=told.append, arrived=lambda shares: None)  # type: ignore[assignment]
    made._runtime = SimpleNamespace(health=SimpleNamespace(update=lambda **state: None))  # type: ignore[assignment]
    return made


def test_an_old_day_is_scored_by_each_later_base_and_nothing_else_changes(ranks: OneRank, archive: Archive) -> None:
    told: list[Any] = []
    looking = driver(ranks, archive, told)
    for day in range(FIRST, FIRST + 4):
        ranks.learn(archive, day)
        before = ranks.state()
        looking._look_back(day)
        after = ranks.state()
        assert before.keys() == after.keys()
        assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert [old.day for old in told] == [FIRST + 1] * 3
    then, *later = [old.now["click"]["ne"] for old in told]
    assert all(old.then["click"]["ne"] == then for old in told)
    assert len({then, *later}) == 3  # each base scores the same rows, and not alike
    assert later[-1] < then + 0.05  # this world does not change, so what it taught is kept
    rates = [old.now["click"]["base_rate"] for old in told]
    assert rates == [rates[0]] * 3
    assert looking._progress.counts.old_day == told[-1]


def test_a_day_that_is_gone_stops_nothing(ranks: OneRank, archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []
    looking = driver(ranks, archive, told)
    for day in (FIRST, FIRST + 1):
        looking._look_back(day)
    assert len(told) == 1
    (Path(archive.root) / "2024-10-05" / "day.json").unlink()
    looking._look_back(FIRST + 2)
    assert len(told) == 1
    assert "no look back: archive 2024-10-05: expected day.json" in caplog.text


def test_the_chain_is_the_same_whatever_partitions_the_rows_lay_in(ranks: OneRank, archive: Archive) -> None:
    """One rank puts all its rows in the order of their ids, so bounds of partitions leave no trace."""
    start = ranks.state()
    for day in (FIRST, FIRST + 1):
        ranks.learn(archive, day)
    first = ranks.state()
    other = Archive(archive.root + "-one")
    for day in (FIRST, FIRST + 1):
        whole = [row for part in archive.read_day(day).parts for row in archive.read_part(day, part)]
        other.close_day(day, "logged", [other.write_part(day, 0, whole[::-1])])
    ranks.rank._archive = other
    ranks.rank._chains["daily"].load_local_state(start)
    ranks.rank._chains["daily"]._expired_hour = 0
    for day in (FIRST, FIRST + 1):
        ranks.learn(other, day)
    again = ranks.state()
    assert [name for name in first if not torch.equal(first[name], again[name])] == []
    assert any(not torch.equal(first[name], start[name]) for name in first if name.startswith("table."))
