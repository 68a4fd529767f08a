"""Catch-up: a full topic, one worker, every row checked."""

import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.joiner_rig import Counter, Worker, fill, read_all
from benchmarks.joiner_traffic import Traffic, encoded, make_events
from local_stack.broker.topics import create_topics, delete_topics, plan_topics
from springtide.audit.batch_join import batch_join, compare
from springtide.contracts.samples import Sample
from springtide.contracts.topics import SAMPLES
from springtide.runtime.config import KafkaConfig, LabelsConfig

TIMEOUT_S: Final = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one catch-up gave."""

    seconds: float
    """From the first record taken in to the broker's stamp on the last row."""
    cpu_seconds: float
    """Of the worker, in that time."""
    rss_mib: float
    rows: int
    wrong: int
    """Rows missing, unexpected or with another payload; labels are part of the payload."""
    repeated: int


class CatchUp:
    """One topic's worth of traffic and its right answer."""

    def __init__(self, traffic: Traffic, kafka: KafkaConfig, labels: LabelsConfig, folder: Path) -> None:
        events = make_events(traffic)
        self.traffic, self._kafka, self._folder = traffic, kafka, folder
        self.records = list(encoded(traffic, events))
        self.expected = batch_join([event for _, event in events], labels)

    def run(self, name: str, sets: list[str], profile: Path | None = None) -> Run:
        """Fill fresh topics, let a worker catch up, check its rows."""
        kafka = replace(self._kafka, topic_prefix=f"{name}-")
        names = [plan.name for plan in plan_topics(kafka)]
        create_topics(kafka.bootstrap, plan_topics(kafka))
        try:
            fill(kafka, self.records)
            with Worker(kafka, self._folder / name, sets) as worker:
                _wait_for_rows(worker, kafka, len(self.expected), profile)
                return self._judge(worker, kafka)
        finally:
            delete_topics(kafka.bootstrap, names)

    def _judge(self, worker: Worker, kafka: KafkaConfig) -> Run:
        rss, begun = worker.rss() / 2**20, worker.begun_s()
        stored = list(read_all(kafka, SAMPLES.name))
        if begun is None:
            raise RuntimeError(f"worker: expected a line on its first record, got none:\n{worker.tail()}")
        worker.stop()
        ended = max(record.taken_ms for record in stored) / 1000
        found = compare((msgspec.json.decode(record.value, type=Sample) for record in stored), self.expected)
        return Run(
            seconds=ended - begun,
            cpu_seconds=worker.cpu_between(begun, ended),
            rss_mib=rss,
            rows=len(self.expected),
            wrong=len(found.missing) + len(found.unexpected) + len(found.wrong) + len(found.conflicts),
            repeated=found.repeated,
        )


def _wait_for_rows(worker: Worker, kafka: KafkaConfig, rows: int, profile: Path | None) -> None:
    deadline, spy = time.monotonic() + TIMEOUT_S, None
    with closing(Counter(kafka, SAMPLES.name)) as count:
        while count() < rows:
            if time.monotonic() > deadline:
                raise RuntimeError(f"worker: expected {rows} rows within {TIMEOUT_S} s, got fewer:\n{worker.tail()}")
            worker.look()
            time.sleep(0.05)
            if profile is not None and spy is None and worker.begun_s() is not None:
                spy = _start_profile(worker.child.pid, profile)
    worker.look()
    if spy is not None:
        spy.send_signal(2)
        spy.wait(30)


def _start_profile(pid: int, file: Path) -> subprocess.Popen[bytes]:
    tool = Path(sys.executable).with_name("py-spy")
    given = ["record", "--pid", str(pid), "--output", str(file), "--format", "raw", "--rate", "200", "--threads"]
    command = [str(tool), *given, "--nonblocking"]  # a worker that is stopped at every look loses its heartbeats
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
