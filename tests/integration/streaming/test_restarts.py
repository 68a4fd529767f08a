"""Bars 11, 12, 16: everything killed again and again, disks lost, workers that come and go."""

import shutil
from pathlib import Path

import pytest

from springtide.runtime.config import KafkaConfig
from tests.integration.streaming.effort import ROUNDS
from tests.integration.streaming.traffic import make_days
from tests.integration.streaming.worker_process import StreamProcess, committed, wait_until
from tests.integration.streaming.workers import Workers


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
def test_all_are_killed_again_and_again_and_then_lose_their_disks(
    kafka_config: KafkaConfig, tmp_path: Path, store: str
) -> None:
    """Bar 11: each round does some work; the last begins on empty disks; the rows are all there."""
    events, streams = make_days(11, days=6)
    with Workers(kafka_config, tmp_path, streams, parts=ROUNDS + 2, sets=(f"streaming.store={store}",)) as workers:
        for round_number in range(ROUNDS + 1):
            if round_number == ROUNDS:
                for folder in workers.folders:
                    shutil.rmtree(folder)
                    folder.mkdir()
            for number in range(2):
                workers.start(number)
            workers.feed()
            workers.wait_for_work()
            for process in list(workers.running()):
                process.kill()
        differences = workers.finish(events)
    assert not differences, differences


def test_a_clean_restart_with_open_windows_repeats_no_row(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 12: two partitions, windows open in both; what was open closes in the next life, once."""
    events, streams = make_days(12, days=4)
    with Workers(kafka_config, tmp_path, streams, parts=4) as workers:
        for _ in range(2):
            workers.start(0)
            before = committed(kafka_config, workers.group)
            workers.feed()
            wait_until(
                lambda before=before: all(  # type: ignore[misc]
                    offset > before[number] for number, offset in committed(kafka_config, workers.group).items()
                ),
                "commits in both partitions",
            )
            (process,) = workers.running()
            assert process.stop() == 0
        differences = workers.finish(events)
    assert not differences, differences
    assert differences.repeated == 0


def owned(process: StreamProcess) -> set[int]:
    """Partitions of which the process keeps a core, and so timers."""
    prefix = 'springtide_watermark_timestamp_seconds{partition="'
    marks = [name.removeprefix(prefix)[0] for name in process.metrics() if name.startswith(prefix)]
    return {int(mark) for mark in marks}


def test_workers_come_and_go_under_load(three_partitions: KafkaConfig, tmp_path: Path) -> None:
    """Bar 16: 1, 2, 3, then 1 worker. No row lost or changed; each keeps what it owns and nothing else."""
    events, streams = make_days(16, days=9, partitions=3)
    # So many parts that some are left whenever a worker begins: all of it happens under load.
    with Workers(three_partitions, tmp_path, streams, parts=400, count=3) as workers:
        for number in range(3):
            workers.start(number)
            wait_until(lambda: _shared_out(workers), f"{number + 1} workers to share the partitions", pause=0.3)
        first, second, third = workers.running()
        assert second.stop() == 0
        third.kill()
        wait_until(lambda: _shared_out(workers, only=first), "one worker to have all", pause=0.3)
        differences = workers.finish(events)
    assert not differences, differences


def _shared_out(workers: Workers, only: StreamProcess | None = None) -> bool:
    """Go on feeding; true once each partition has one owner, and as many workers as can own something do."""
    workers.feed()
    mine = [owned(process) for process in ([only] if only else workers.running()) if process.health().get("ready")]
    partitions = workers.kafka.partitions
    at_work = 1 if only else min(partitions, len(list(workers.running())))
    whole = sorted(number for part in mine for number in part) == list(range(partitions))
    return whole and sum(bool(part) for part in mine) == at_work
