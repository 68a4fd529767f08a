"""Two ranks, no Ray: a weighting must leave both with one model, also where one of them has nothing to read."""

from __future__ import annotations

import dataclasses
import socket
from datetime import timedelta
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch.multiprocessing.spawn import spawn

from springtide.model.config import ModelConfig
from springtide.model.level import HOURS
from tests.builders.sample_world import World
from trainer.chain_model import ChainModel
from trainer.messages import Meeting
from trainer.packing import pack
from trainer.process_group import join_group


def learn_on(rank: int, port: int, weighting: str, folder: str) -> None:
    """Learn as one of two ranks; the second has one batch less than the first."""
    torch.set_num_threads(1)
    group = join_group(Meeting(rank=rank, world_size=2, host="127.0.0.1", port=port, timeout=timedelta(seconds=120)))
    model = ChainModel(dataclasses.replace(ModelConfig(), weighting=weighting), group, "vanilla")
    rows = [row for row in World(seed=rank).rows(0, 1) if row.phase == "observed"][: 48 - 16 * rank]
    model.run(list(pack(rows, 128)), "learn", torch.ones(HOURS, 3), True)
    state = model.local_state()
    shared = {name: part for name, part in state.items() if name.startswith(("dense.", "weighting.")) and part.ndim}
    safetensors.torch.save_file(shared, Path(folder) / f"{rank}.safetensors")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("weighting", ["uncertainty", "pe-ltr"])
def test_ranks_stay_equal(weighting: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(learn_on, (port, weighting, str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]
    one, two = (safetensors.torch.load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert len(one) > 10
    assert all(torch.equal(one[name], two[name]) for name in one)
