"""Other stream processors on the same topic and the same core, each in a virtual environment of its own.

A peer's job is smaller than the joiner's: one row per slate, when one window of 30 minutes has closed.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.joiner_rig import ROOT, WORKER_CORE, Counter, StoredRecord, fill, read_all
from benchmarks.joiner_traffic import MINUTE, Traffic, encoded, make_events
from local_stack.broker.topics import create_topics, delete_topics, plan_topics
from springtide.audit.batch_join import batch_join
from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent, Tick
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS, Task
from springtide.contracts.topics import SAMPLES
from springtide.runtime.config import KafkaConfig, LabelsConfig

PEERS: Final = ("quix_fold", "bytewax_window", "faust_tutorial")
FOLDER: Final = Path(__file__).with_name("joiner_peers")
PATIENCE_S: Final = 20
LIMIT_S: Final = 150

Labels = dict[Task, list[int]]


class PeerRow(msgspec.Struct):
    """What of a peer's row is checked."""

    request_id: str
    item_ids: list[str]
    labels: Labels


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerRun:
    """What one peer gave."""

    name: str
    seconds: float
    """From its first record to the broker's stamp on its last row."""
    rows_right: float
    """Share of slates with exactly one row, and that one right."""
    labels_found: float
    """Share of the labels that its rows tell."""


class Contest:
    """Traffic with one window, and its right answer."""

    def __init__(self, traffic: Traffic, kafka: KafkaConfig, labels: LabelsConfig, folder: Path) -> None:
        self.traffic, self._kafka, self._folder = traffic, kafka, folder
        events = make_events(traffic)
        self.records = [*encoded(traffic, events), *_last_ticks(traffic, [event for _, event in events])]
        rows = batch_join([event for _, event in events], labels)
        self.expected = {row.request_id: row for row in rows if row.phase == "final"}

    def run(self, name: str, cache: Path) -> PeerRun:
        """Let a peer catch up.

        Raises:
            RuntimeError: it cannot be installed, or ends before it has read a record.
        """
        python = environment(name, cache)
        kafka = replace(self._kafka, topic_prefix=f"{name}-")
        create_topics(kafka.bootstrap, plan_topics(kafka))
        try:
            fill(kafka, self.records)
            log = self._folder / f"{name}.log"
            with log.open("wb") as output:
                state = str(self._folder / name)
                command = [str(python), str(FOLDER / f"{name}.py"), kafka.bootstrap, kafka.topic_prefix]
                child = subprocess.Popen(
                    [*command, str(kafka.partitions), state], cwd=self._folder, stdout=output, stderr=output,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    preexec_fn=lambda: os.sched_setaffinity(0, {WORKER_CORE}),  # noqa: PLW1509
                )  # fmt: skip
            try:
                _wait(child, kafka, len(self.expected))
            finally:
                child.kill()
                child.wait()
            return self._judge(name, log, list(read_all(kafka, SAMPLES.name)))
        finally:
            delete_topics(kafka.bootstrap, [plan.name for plan in plan_topics(kafka)])

    def _judge(self, name: str, log: Path, stored: list[StoredRecord]) -> PeerRun:
        text = log.read_text(errors="replace")
        begun = [float(line.split()[1]) for line in text.splitlines() if line.startswith("begun ")]
        if not begun or not stored:
            raise RuntimeError(f"{name}: expected rows, got none:\n{text[-2000:]}")
        rows = [msgspec.json.decode(record.value, type=PeerRow) for record in stored]
        times = Tally(row.request_id for row in rows)
        right = sum(times[row.request_id] == 1 and _same(row, self.expected[row.request_id]) for row in rows)
        found = {(row.request_id, *label) for row in rows for label in _positives(row.item_ids, row.labels)}
        wanted = {
            (request, *label)
            for request, row in self.expected.items()
            for label in _positives(row.item_ids, row.labels)
        }
        return PeerRun(
            name=name,
            seconds=max(record.taken_ms for record in stored) / 1000 - min(begun),
            rows_right=right / len(self.expected),
            labels_found=len(found & wanted) / max(1, len(wanted)),
        )


def environment(name: str, cache: Path) -> Path:
    """Make a peer's virtual environment from its locked requirements, once; gives its Python.

    Raises:
        RuntimeError: it cannot be installed.
    """
    locked = FOLDER / f"{name}.txt"
    folder = cache / "joiner-peers" / f"{name}-{hashlib.sha256(locked.read_bytes()).hexdigest()[:12]}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(locked)]
        for command in ([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], install):
            given = subprocess.run(command, capture_output=True, text=True, check=False)
            if given.returncode:
                raise RuntimeError(f"{name}: expected to install {locked.name}, got: {given.stderr[-600:]}")
        done.touch()
    return python


def _wait(child: subprocess.Popen[bytes], kafka: KafkaConfig, rows: int) -> None:
    """Wait for all rows, the peer's end, or no more rows for a while."""
    begun = grown = time.monotonic()
    before = 0
    with closing(Counter(kafka, SAMPLES.name)) as count:
        while child.poll() is None and time.monotonic() - begun < LIMIT_S:
            now = count()
            if now > before:
                before, grown = now, time.monotonic()
            if now >= rows or (now and time.monotonic() - grown > PATIENCE_S):
                return
            time.sleep(0.1)


def _last_ticks(traffic: Traffic, events: list[AnyEvent]) -> Iterator[tuple[int, bytes, bytes]]:
    """Give every user an own tick behind the last event, for peers whose clock is the user's."""
    time_ms = max(event.event_time_ms for event in events) + 60 * MINUTE
    for user in sorted({event.user_id for event in events}):
        partition = int(user[1:]) % traffic.partitions
        tick = Tick(event_id=f"last-{user}", user_id=user, event_time_ms=time_ms, producer="", partition=partition)
        yield partition, user.encode(), encode(tick)


def _same(row: PeerRow, expected: Sample) -> bool:
    return row.item_ids == expected.item_ids and row.labels == expected.labels


def _positives(item_ids: list[str], labels: Labels) -> Iterator[tuple[str, str]]:
    for task in TASKS:
        yield from ((task, item_id) for item_id, label in zip(item_ids, labels[task], strict=True) if label)
