"""The real driver and a real rank in this process: no Ray, no broker; dies where it is told to, and lives again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import safetensors.torch
import torch
import torch.distributed as dist

from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.samples import Sample
from springtide.model.config import ModelConfig
from springtide.runtime.clock import ManualClock
from springtide.runtime.command_line import Runtime
from springtide.runtime.config import BundlesConfig, KafkaConfig, LabelsConfig, ProcessConfig
from springtide.runtime.health import Health
from springtide.runtime.shutdown import Shutdown
from tests.builders.fake_model import FakeChain, FakeWriter, fake_export
from trainer import driver as driver_module
from trainer.checkpoint import CheckpointFolder, CheckpointManifest
from trainer.config import TrainerConfig
from trainer.day_rows import DayReader
from trainer.driver import Driver
from trainer.judge import Trial
from trainer.messages import Meeting, RankSetup
from trainer.rank import Rank
from trainer.sample_source import Taken

HOUR = timedelta(hours=1)
LABELS = LabelsConfig(
    observation={"click": HOUR / 2, "cart": HOUR, "purchase": HOUR},
    attribution={"click": HOUR, "cart": 6 * HOUR, "purchase": 24 * HOUR},
    allowed_lateness=HOUR / 12,
)
MODEL = replace(
    ModelConfig(), embedding_dim=4, experts=2, expert_units=(8,), tower_units=(4,), dense_learning_rate=0.005,
    capacities={"user": 50, "item": 48, "category": 8, "device": 8, "country": 8, "position": 16},
    expiries={**ModelConfig().expiries, "user": 3 * HOUR}, gate_dropout=0.1,
)  # fmt: skip
TRAINER = TrainerConfig(
    ranks=1, chains=("minute",), daily_features="logged", batch_rows=64, wait=timedelta(microseconds=1),
    delta_every=6 * HOUR, checkpoint_every=timedelta(seconds=20), guard_rows=2_000,
)  # fmt: skip
SEEN_MODULES = (
    "trainer.rank", "trainer.chain_model", "trainer.rank_state", "trainer.checkpoint", "trainer.bundle_writer",
    "trainer.guarded_publisher",
)  # fmt: skip
PARTITIONS = 2


class Killed(BaseException):
    """The process is gone: nothing after it may tidy up."""


@dataclass
class Points:
    """Counts the points passed, and dies at one of them."""

    die_at: int = 0
    """Number of the point to die at, from 1; 0 lives on."""
    passed: list[str] = field(default_factory=list)

    def reach(self, name: str) -> None:
        self.passed.append(name)
        if len(self.passed) == self.die_at:
            raise Killed(name)


@dataclass
class Log:
    """What outlives a process: both topics."""

    samples: list[list[Sample]]
    """By partition."""
    updates: list[ModelUpdate] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Sequence[Sample]) -> Log:
        parts: list[list[Sample]] = [[] for _ in range(PARTITIONS)]
        for row in rows:
            parts[int(row.request_id.rpartition("-")[2]) % PARTITIONS].append(row)
        return cls(parts)


@dataclass
class Source:
    """In the place of SampleSource: gives a few messages of each partition a time, and then asks for the end."""

    log: Log
    shutdown: Shutdown
    offsets: dict[int, int]
    each: int

    def open(self) -> None:
        """Nothing to connect to."""

    def take(self, most: int, wait_ms: int) -> list[Taken]:
        taken = []
        for partition, start in self.offsets.items():
            rows = self.log.samples[partition][start : start + self.each]
            taken += [Taken(partition=partition, offset=offset, sample=row) for offset, row in enumerate(rows, start)]
            self.offsets[partition] += len(rows)
        if not taken:
            self.shutdown.request()
        return taken

    def read(self, spans: Mapping[int, tuple[int, int]]) -> Iterator[Sample]:
        for partition, (first, end) in sorted(spans.items()):
            yield from self.log.samples[partition][first:end]

    def lag(self) -> dict[int, int]:
        return {partition: len(self.log.samples[partition]) - start for partition, start in self.offsets.items()}

    def take_dead(self) -> list[Any]:
        return []


class Ranks:
    """In the place of RankGroup: one rank, called directly."""

    def __init__(self, config: TrainerConfig, setups: Sequence[RankSetup], log_level: str) -> None:
        self._rank = Rank(setups[0])

    def form(self, checkpoint: Path | None) -> list[Any]:
        meeting = Meeting(rank=0, world_size=1, host="127.0.0.1", port=0, timeout=timedelta(seconds=60))
        return [self._rank.start(meeting, checkpoint)]

    def call(self, method: str, *arguments: Any) -> list[Any]:
        return [getattr(self._rank, method)(*arguments)]

    def call_first(self, method: str, argument: Any, part: str, *of_part: Any) -> Any:
        return getattr(self._rank, method)(argument, *self.call(part, *of_part))

    def pids(self) -> list[int]:
        return [0]

    def stop(self) -> None:
        """It ends with the process."""


class Announcer:
    """In the place of the real one: to the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def announce(self, update: ModelUpdate) -> None:
        self._log.updates.append(update)

    def bury(self, letters: Sequence[Any]) -> None:
        assert not letters

    def close(self) -> None:
        """Nothing to disconnect."""


class Gauges:
    """In the place of the trainer's, which a process may have once."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_args, **_named: None


class Marks:
    """In the place of the reporter."""

    def mark(self, *_: Any) -> None:
        """Nobody looks."""


class Ticking(ManualClock):
    """Moves a second whenever it is asked, so that checkpoints come between publications, always at the same calls."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0

    def monotonic(self) -> float:
        self._asked += 1
        return float(self._asked)


def _when_read(reader: DayReader) -> bool:
    """Wait, so that a day is learned at the same call in every life."""
    begun = reader._begun
    return begun is not None and begun[1].exception() is None


@dataclass
class Trainer:
    """A trainer with a state folder, life after life."""

    folder: Path
    log: Log
    config: TrainerConfig = TRAINER
    model: ModelConfig = MODEL
    each: int = 40
    """Messages of each partition that a call takes."""
    real_model: bool = True
    """Else fake_model.py: everything but torch is as it is."""
    harm: Callable[[int], str] = lambda _newest_ms: ""
    """Fake judge: takes the newest impression, returns why what is served must be taken back."""
    harmful_hours: frozenset[int] = frozenset()
    """Of newest impressions: bundles then are refused by the fake writer."""

    def live(self, points: Points | None = None) -> bool:
        """Live until all is learned, or until it is killed; returns whether it came to its end."""
        points, shutdown = points or Points(), Shutdown()
        runtime: Any = Runtime(
            process=ProcessConfig(state_folder=self.folder, log_level="ERROR"),
            kafka=KafkaConfig(partitions=PARTITIONS),
            sections={"trainer": self.config, "model": self.model, "labels": LABELS, "bundles": BundlesConfig()},
            health=Health("trainer"),
            reporter=Marks(),  # type: ignore[arg-type]
            shutdown=shutdown,
        )
        with self._in_place(points, shutdown):
            try:
                Driver(runtime, Gauges(), Ticking()).run()  # type: ignore[arg-type]
            except Killed:
                return False
            finally:
                if dist.is_initialized():
                    dist.destroy_process_group()
        return True

    def newest(self) -> tuple[dict[str, torch.Tensor], CheckpointManifest]:
        """Return all tensors and the manifest of the newest checkpoint."""
        found = CheckpointFolder(self.folder / "trainer" / "checkpoints", 9).newest()
        assert found is not None
        folder, manifest = found
        return safetensors.torch.load((folder / "rank-0.safetensors").read_bytes()), manifest

    def _fakes(self, points: Points) -> dict[str, Any]:
        chain = type("Chain", (FakeChain,), {"reach": staticmethod(points.reach)})
        writer = type(
            "Writer", (FakeWriter,), {"reach": staticmethod(points.reach), "harmful_hours": self.harmful_hours}
        )

        def judge(rank: Any, trial: Trial, *_: bytes) -> str:
            writer.compared = bool(trial.served)  # type: ignore[attr-defined]
            return self.harm(max(rank._feed.newest_fast_ms.values())) if trial.served else ""

        return {
            "trainer.rank.ChainModel": chain,
            "trainer.rank.BundleWriter": writer,
            "trainer.rank.Rank.judge": judge,
            "trainer.rank.export_part": fake_export,
            "trainer.rank.join_group": lambda _meeting: None,
            "torch.distributed.get_rank": lambda: 0,
            "torch.distributed.get_world_size": lambda: 1,
        }

    @contextmanager
    def _in_place(self, points: Points, shutdown: Shutdown) -> Iterator[None]:
        def source(_kafka: KafkaConfig, offsets: dict[int, int]) -> Source:
            return Source(self.log, shutdown, offsets, self.each)

        changes: dict[str, Callable[..., Any]] = {f"{name}.reach": points.reach for name in SEEN_MODULES}
        changes["trainer.rank.SampleSource"] = source
        changes["trainer.day_rows.DayReader.ready"] = _when_read
        changes["trainer.checkpoint.CheckpointFolder.give_up"] = lambda *_: None  # a killed process tidies nothing up
        if not self.real_model:
            changes |= self._fakes(points)
        patches = [patch(name, change) for name, change in changes.items()]
        patches += [
            patch.object(driver_module, "RankGroup", Ranks),
            patch.object(driver_module, "Announcer", lambda _kafka: Announcer(self.log)),
            patch.object(driver_module, "wait_for_topics", lambda *_: None),
            patch.object(shutdown, "install", lambda: shutdown),
        ]
        logging.getLogger("trainer").setLevel(logging.CRITICAL)
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()
            logging.getLogger("trainer").setLevel(logging.NOTSET)
