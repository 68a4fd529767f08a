"""Real logs, replayed with duplicates and bursts out of order into a joiner that is killed three times: no row differs.

The rows are held against the batch join of the log as it is, and against pandas, which knows nothing of our events.
SPRINGTIDE_REPLAY=full takes the whole logs (minutes; give pytest a longer --timeout).
"""

from __future__ import annotations

import random
import time
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from local_stack.verification.log_join import final_frame, join_log
from local_stack.verification.log_join import read_log as read_with_pandas
from simulator.replay.log import read_log
from simulator.replay.mapping import read_mapping
from simulator.replay.telling import LogTeller
from springtide.contracts.errors import ExitCode
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.runtime.config import KafkaConfig, LabelsConfig
from springtide.runtime.kafka import make_consumer
from springtide.runtime.settings import build_sections, read_profile
from tests.integration.simulator.conftest import Launch
from tests.integration.simulator.real_logs import RETAILROCKET, ROOT, TAOBAO, RealLog, cut_slice, find_log
from tests.integration.streaming.worker_process import StreamProcess, committed, count_of, read_rows, wait_until
from tests.oracles.batch_join import batch_join, compare

SEED = 17
PATIENCE_S = 400.0
MOST_LIVES = 3
LEAST_SPEED = 100
LABELS: LabelsConfig = build_sections(read_profile(ROOT / "config" / "base.toml"), {"labels": LabelsConfig})["labels"]


def replay_flags(file: Path, log: RealLog) -> tuple[str, ...]:
    windows = ", ".join(f'{task} = "{LABELS.attribution[task].total_seconds():g}s"' for task in TASKS)
    return (
        'simulator.mode="replay"', f"replay.file={file}", f"replay.mapping={log.mapping}",
        'replay.features_within="0s"',
        f"labels.attribution={{ {windows} }}", "replay.duplicates=0.05", "replay.out_of_order=0.3",
        f"replay.fault_seed={SEED}", "simulator.settle=9h", f"replay.step={log.step}",
    )  # fmt: skip


def kill_and_join(
    kafka: KafkaConfig, state: Path, log: RealLog, told: Callable[[], bool], *, events: int, rows: int
) -> None:
    """Let a worker join, kill it twice by what it has read and once by what it has said, then let it finish."""
    draw = random.Random(SEED)
    shares = (draw.uniform(0.1, 0.35) * events, draw.uniform(0.5, 0.8) * events, draw.uniform(0.3, 0.8) * rows)
    places = [round(share) for share in shares]
    print(
        f"seed {SEED}: kills when {places[0]} and {places[1]} events are committed, and when {places[2]} rows are said"
    )
    group = f"{kafka.topic_prefix}springtide-joiner"
    sets = ("streaming.role=joiner", "streaming.session_timeout=6s", f"joiner.trigger_every={log.trigger_every}")
    for place in places[:2]:
        run_until(kafka, state, sets, partial(has_read, kafka, group, place)).kill()
    run_until(kafka, state, sets, lambda _: count_of(kafka, "samples") >= places[2]).kill()
    last = run_until(kafka, state, sets, lambda worker: told() and is_idle(kafka, group, worker))
    assert last.stop() == 0


def run_until(
    kafka: KafkaConfig, state: Path, sets: tuple[str, ...], reached: Callable[[StreamProcess], bool]
) -> StreamProcess:
    """Let a worker run up to a condition; start it again, as the supervisor does, when it has found a gap (exit 23)."""
    for life in range(MOST_LIVES):
        worker = StreamProcess(kafka, state, *sets)
        try:
            wait_until(partial(has_come, worker, reached), "the end of this life", worker.log, PATIENCE_S)
        except BaseException:
            worker.kill()
            raise
        if worker.child.poll() != ExitCode.RECOVERY:
            assert worker.alive()
            return worker
        print(f"life {life}: the worker ended itself (23), for records had been left out; it is started again")
    raise AssertionError(f"expected a worker that lives, got {MOST_LIVES} that found records left out")


def has_come(worker: StreamProcess, reached: Callable[[StreamProcess], bool]) -> bool:
    """Tell whether the condition holds, or the worker has ended."""
    return worker.child.poll() is not None or (bool(worker.health().get("ready")) and reached(worker))


def has_read(kafka: KafkaConfig, group: str, count: int, _: StreamProcess) -> bool:
    """Tell whether so many events are committed."""
    return sum(committed(kafka, group).values()) >= count


def is_idle(kafka: KafkaConfig, group: str, worker: StreamProcess) -> bool:
    """Tell whether all is read and no slate is open; the last ticks lie beyond every window."""
    try:
        done, metrics = committed(kafka, group), worker.metrics()
    except OSError:
        return False  # it has just ended
    ends = end_offsets(kafka)
    unread = [number for number, end in ends.items() if done[number] < end]  # each has a core, and so a lag
    lags = [value for name, value in metrics.items() if name.startswith("springtide_consumer_lag_records")]
    return len(lags) >= len(unread) and sum(lags) == 0 and metrics.get("springtide_join_slates_open") == 0


def end_offsets(kafka: KafkaConfig) -> dict[int, int]:
    """Give the end of each partition of `events`."""
    consumer = make_consumer(kafka, [kafka.topic("events")])
    try:
        return {tp.partition: end for tp, end in consumer.end_offsets(list(consumer.assignment())).items()}
    finally:
        consumer.close()


def check_against_pandas(log: Path, mapping: Path, rows: list[Sample]) -> int:
    """Hold the final rows against pandas, label by label; gives how many there are."""
    final = {row.row_id: row for row in rows if row.phase == "final"}
    found = final_frame(list(final.values()))
    wanted = join_log(read_with_pandas(log, tomllib.loads(mapping.read_text())), LABELS.attribution)
    both = wanted.merge(found, on=["request_id", "user_id", "item_id", "time_ms"], suffixes=("", "_found"))
    assert len(both) == len(wanted) == len(found)
    for task in TASKS:
        assert (both[task] == both[f"{task}_found"]).all(), task
    return len(wanted)


@pytest.mark.parametrize("log", [RETAILROCKET, TAOBAO], ids=lambda log: log.name)
def test_a_real_log_under_faults_and_kills_loses_and_changes_no_row(
    log: RealLog, launch: Launch, kafka_config: KafkaConfig, tmp_path: Path
) -> None:
    file = cut_slice(log, find_log(log), tmp_path / "slice.csv")
    told = LogTeller(lambda row: None)
    log_rows = read_log(file, read_mapping(log.mapping)).rows
    expected = batch_join([event for row in log_rows for event in told.tell(row)[0]], LABELS)
    started = time.monotonic()
    simulator = launch(*replay_flags(file, log))
    events = round(1.05 * sum(2 if row.meaning == "exposure" else 1 for row in log_rows))
    kill_and_join(kafka_config, tmp_path, log, lambda: simulator.poll() is not None, events=events, rows=len(expected))
    took = time.monotonic() - started
    assert simulator.poll() == 0, (tmp_path / "simulator.log").read_text()[-2000:]
    rows = read_rows(kafka_config)
    differences = compare(rows, expected)
    assert not differences, differences
    exposures = check_against_pandas(file, log.mapping, rows)
    span = (log_rows[-1].time_ms - log_rows[0].time_ms) / 1000
    labels = sum(sum(sum(column) for column in row.labels.values()) for row in expected if row.phase == "final")
    print(
        f"{log.name}: {len(log_rows):,} log rows, {exposures:,} exposures, {labels:,} labels in final rows; "
        f"{len(expected):,} rows right, {differences.repeated:,} said twice; "
        f"{span / 3600:,.1f} h in {took:.1f} s: {span / took:,.0f} times real time"
    )
    assert span / took >= LEAST_SPEED
