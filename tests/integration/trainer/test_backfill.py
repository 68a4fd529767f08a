"""`springtide train` gives what the live daily chain gave, bit for bit on one rank, also after Ctrl-C in the middle."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from springtide.contracts.errors import ExitCode
from trainer.checkpoint import CheckpointFolder

FIRST, LAST = "2024-10-04", "2024-10-06"
SETTINGS = ("trainer.ranks=1", 'trainer.chains=["daily"]', "trainer.daily_features=logged", "trainer.batch_rows=64")


def daily_state(folder: Path) -> dict[str, torch.Tensor]:
    newest = CheckpointFolder(folder / "checkpoints", 3).newest()
    assert newest is not None
    found = safetensors.torch.load_file(newest[0] / "rank-0.safetensors")
    return {name: tensor for name, tensor in found.items() if name.startswith("daily/")}


@pytest.mark.timeout(600)
def test_a_rebuilt_chain_equals_the_live_one(world: Any, trainers: Any, stream: Any) -> None:
    small = replace(world, slates_per_day=150)
    stream.send(trainers.kafka, small.rows(0, 5))
    process = trainers.start(*SETTINGS)

    def learned() -> bool:
        return "daily-3.0" in [update.version for update in stream.updates(trainers.kafka)]

    stream.wait_until(learned, "the third day", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, trainers.log()[-3000:]
    live = daily_state(trainers.state / "trainer")

    sets = [part for setting in (*SETTINGS, "model.dense_learning_rate=0.005") for part in ("--set", setting)]
    flags = ["--config", "config/base.toml", "--from", FIRST, "--to", LAST, "--set", "kafka.bootstrap=127.0.0.1:1"]
    command = [sys.executable, "-m", "local_stack", "train", *flags, *sets]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SPRINGTIDE_STATE": str(trainers.state)}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert first.stdout is not None
    with first.stdout:
        for line in first.stdout:
            if line.startswith("2024-10-05 (2 of 3)"):
                first.send_signal(signal.SIGINT)  # and read on: it says good-bye
    assert first.wait(120) == ExitCode.INTERRUPTED
    rest = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert "going on after 2024-10-04" in rest.stdout
    assert "2024-10-06 (2 of 2): daily-3.0" in rest.stdout

    rebuilt = daily_state(trainers.state / "backfill")
    assert live.keys() == rebuilt.keys()
    assert [name for name in live if not torch.equal(live[name], rebuilt[name])] == []
    assert any(tensor.abs().sum() for name, tensor in live.items() if "momentum" in name)
