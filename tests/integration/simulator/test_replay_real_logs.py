"""Real logs, replayed with duplicates and bursts out of order into a joiner that is killed three times: no row differs.

The rows are held against the batch join of the log as it is, and against pandas, which knows nothing of our events.
SPRINGTIDE_REPLAY=full takes the whole logs (minutes; give pytest a longer --timeout).
"""

from __future__ import annotations

import random
import time
import tomllib
from pathlib import Path

import pytest

from local_stack.verification.log_join import final_frame, join_log
from local_stack.verification.log_join import read_log as read_with_pandas
from simulator.replay.log import read_log
from simulator.replay.mapping import read_mapping
from simulator.replay.telling import LogTeller
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.runtime.config import KafkaConfig, LabelsConfig
from springtide.runtime.settings import build_sections, read_profile
from tests.integration.simulator.conftest import Launch
from tests.integration.simulator.real_logs import RETAILROCKET, ROOT, TAOBAO, RealLog, cut_slice, find_log
from tests.integration.streaming.worker_process import StreamProcess, count_of, read_rows, wait_until
from tests.oracles.batch_join import batch_join, compare

SEED = 17
KILLS = 3
LEAST_SPEED = 100
LABELS: LabelsConfig = build_sections(read_profile(ROOT / "config" / "base.toml"), {"labels": LabelsConfig})["labels"]


def replay_flags(log: Path, mapping: Path) -> tuple[str, ...]:
    windows = ", ".join(f'{task} = "{LABELS.attribution[task].total_seconds():g}s"' for task in TASKS)
    return (
        'simulator.mode="replay"', f"replay.file={log}", f"replay.mapping={mapping}", 'replay.features_within="0s"',
        f"labels.attribution={{ {windows} }}", "replay.duplicates=0.05", "replay.out_of_order=0.3",
        f"replay.fault_seed={SEED}", "simulator.settle=9h",
    )  # fmt: skip


def kill_and_join(kafka: KafkaConfig, state: Path, trigger_every: str, rows: int) -> None:
    """Let a worker join, kill it at three places of its output, and wait until the last one has joined everything."""
    draw = random.Random(SEED)
    places = sorted(draw.sample(range(rows // 20, rows * 9 // 10), KILLS))
    print(f"seed {SEED}: kills when topic samples holds {places} of {rows} rows")
    sets = ("streaming.role=joiner", "streaming.session_timeout=6s", f"joiner.trigger_every={trigger_every}")
    for place in [*places, None]:
        with StreamProcess(kafka, state, *sets) as worker:
            worker.wait_ready()
            if place is not None:
                wait_for_rows(kafka, worker, place)
                worker.kill()
            else:
                wait_until(lambda: worker.alive() and is_idle(worker), "every slate to be final", worker.log, 400)
                assert worker.stop() == 0


def wait_for_rows(kafka: KafkaConfig, worker: StreamProcess, count: int) -> None:
    """Wait until the topic holds so many rows."""
    wait_until(lambda: worker.alive() and count_of(kafka, "samples") >= count, f"{count} rows", worker.log, 400)


def is_idle(worker: StreamProcess) -> bool:
    """Tell whether all is read and no slate is open; the last ticks lie beyond every window."""
    metrics = worker.metrics()
    lags = [value for name, value in metrics.items() if name.startswith("springtide_consumer_lag_records")]
    read = [value for name, value in metrics.items() if name.startswith("springtide_join_rows_total")]
    return len(lags) == 2 and sum(lags) == 0 and sum(read) > 0 and metrics["springtide_join_slates_open"] == 0


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
    simulator = launch(*replay_flags(file, log.mapping))
    kill_and_join(kafka_config, tmp_path, log.trigger_every, len(expected))
    took = time.monotonic() - started
    assert simulator.wait(timeout=60) == 0, (tmp_path / "simulator.log").read_text()[-2000:]
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
