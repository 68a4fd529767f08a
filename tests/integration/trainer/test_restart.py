"""kill -9 of the driver or of a rank: nothing is lost, nothing learned twice, nothing left behind."""

import os
import signal
import time
from typing import Any

import pytest

from springtide.contracts.errors import ExitCode
from springtide.contracts.samples import Sample
from trainer.checkpoint import CheckpointFolder

SETTINGS = ('trainer.chains=["minute"]', "trainer.checkpoint_every=60s", "trainer.delta_every=3h")


def fast_rows(rows: list[Sample]) -> int:
    return sum(len(row.item_ids) for row in rows if row.phase != "final")


@pytest.mark.timeout(900)
def test_killed_driver_and_rank_resume_exactly(world: Any, trainers: Any, stream: Any) -> None:
    rows = world.rows(0, 2)
    thirds = [rows[: len(rows) // 3], rows[len(rows) // 3 : 2 * len(rows) // 3], rows[2 * len(rows) // 3 :]]

    def learned() -> int:
        return int(trainers.health().get("rows", {}).get("minute", -1))

    stream.send(trainers.kafka, thirds[0])
    process = trainers.start(*SETTINGS)
    stream.wait_until(lambda: learned() == fast_rows(thirds[0]), "the first third", process)
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 180  # the agents of Ray look for their dead parent about once a minute
    while trainers.alive():
        assert time.monotonic() < deadline, f"left behind: {trainers.alive()}"
        time.sleep(0.2)

    stream.send(trainers.kafka, [*thirds[0][-40:], *thirds[1]])  # the joiner, too, may have crashed and repeat
    process = trainers.start(*SETTINGS)
    stream.wait_until(lambda: learned() == fast_rows(thirds[0] + thirds[1]), "the second third", process)
    os.kill(trainers.health()["rank_pids"][1], signal.SIGKILL)
    assert process.wait(120) == ExitCode.WORKER_LOST, trainers.log()[-2000:]

    stream.send(trainers.kafka, [*thirds[1][-40:], *thirds[2]])
    process = trainers.start(*SETTINGS)
    stream.wait_until(lambda: learned() == fast_rows(rows), "the last third", process)
    os.killpg(process.pid, signal.SIGTERM)  # as a supervisor stops a process and all that it started
    assert process.wait(60) == ExitCode.OK, trainers.log()[-2000:]

    newest = CheckpointFolder(trainers.state / "trainer" / "checkpoints", 3).newest()
    assert newest is not None
    assert newest[1].driver["counts"]["chains"]["minute"]["rows"] == fast_rows(rows)
    versions = [update.version for update in stream.updates(trainers.kafka)]
    kinds = {update.version: update.kind for update in stream.updates(trainers.kafka)}
    assert sum(kind == "base" for kind in kinds.values()) >= 2  # a new life begins with a base
    first_heard = list(dict.fromkeys(versions))
    assert first_heard == sorted(first_heard, key=lambda version: [int(n) for n in version.split("-")[1].split(".")])
