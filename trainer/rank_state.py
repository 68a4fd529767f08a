"""A rank's part of a checkpoint: tensors in safetensors, the rest as JSON-able values for the driver's manifest.

The parts are laid out by table and by partition, not by rank, so that a checkpoint of two ranks can be taken up by
one or by three.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor

from springtide.contracts.errors import StateError
from trainer.chain_model import ChainModel
from trainer.checkpoint import read_manifest, write_synced
from trainer.failpoints import reach
from trainer.live_feed import LiveFeed
from trainer.messages import SavedRank

_OWNED = ("table.", "momentum.")
"""Entries that each rank holds for its own tables; all others are equal on every rank."""


def save_rank(folder: Path, rank: int, chains: Mapping[str, ChainModel], feed: LiveFeed) -> SavedRank:
    """Write and sync this rank's file; the replicated parts go into rank 0's alone.

    Raises:
        StateError: the model holds NaN or infinity, which must not be resumed, or the disk has no room for it.
    """
    tensors: dict[str, Tensor] = {}
    for chain, model in chains.items():
        for name, tensor in model.local_state().items():
            if rank == 0 or name.startswith(_OWNED):
                tensors[f"{chain}/{name}"] = tensor
    for partition, seen in feed.seen.items():
        for name, array in seen.to_arrays().items():
            tensors[f"seen/{partition}/{name}"] = torch.from_numpy(array)
    for name, array in feed.held.to_arrays().items():
        tensors[f"held/{rank}/{name}"] = torch.from_numpy(array)
    for name, array in feed.slates.to_arrays().items():
        tensors[f"slates/{rank}/{name}"] = torch.from_numpy(array)
    _check_finite(tensors)
    content: bytes = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})
    file = f"rank-{rank}.safetensors"
    write_synced(folder / file, content)
    reach("rank-saved")
    return SavedRank(file=file, size=len(content), sha256=hashlib.sha256(content).hexdigest(), state=_partitions(feed))


def load_rank(folder: Path, chains: Mapping[str, ChainModel], feed: LiveFeed) -> None:
    """Take up what this rank needs of a checkpoint whose checksums were verified; its partitions decide."""
    manifest = read_manifest(folder)
    tensors: dict[str, Tensor] = {}
    for part in manifest.ranks:
        tensors |= safetensors.torch.load((folder / part.file).read_bytes())
        _load_partitions(part.state, feed)
    for chain, model in chains.items():
        state = _beneath(tensors, f"{chain}/")
        if state:  # a chain that was off when the checkpoint was written starts anew
            model.load_local_state(state)
    for partition, seen in feed.seen.items():
        arrays = {name: tensor.numpy() for name, tensor in _beneath(tensors, f"seen/{partition}/").items()}
        if arrays:
            seen.load(arrays)

    # with another number of ranks a slate's partition may be another rank's now: then it is not judged
    for rank in range(dist.get_rank(), len(manifest.ranks), dist.get_world_size()):
        feed.held.load({name: tensor.numpy() for name, tensor in _beneath(tensors, f"held/{rank}/").items()})
        slates = {name: tensor.numpy() for name, tensor in _beneath(tensors, f"slates/{rank}/").items()}
        if slates:  # releases before the guard compared versions kept none
            feed.slates.load(slates)


def load_chain(folder: Path, chain: str, model: ChainModel) -> None:
    """Take up one chain's model alone, of a checkpoint whose checksums were verified."""
    tensors: dict[str, Tensor] = {}
    for part in read_manifest(folder).ranks:
        tensors |= safetensors.torch.load((folder / part.file).read_bytes())
    model.load_local_state(_beneath(tensors, f"{chain}/"))


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise StateError(f"checkpoint: expected finite numbers, got NaN or infinity in {bad[0]}; resume the one before")


def _beneath(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _partitions(feed: LiveFeed) -> dict[str, Any]:
    return {
        str(partition): {
            "offset": offset,
            "newest_final_ms": feed.newest_final_ms.get(partition),
            "index": feed.index.to_dict(partition),
        }
        for partition, offset in feed.source.offsets.items()
    }


def _load_partitions(state: Mapping[str, Any], feed: LiveFeed) -> None:
    for name, values in state.items():
        partition = int(name)
        if partition not in feed.source.offsets:
            continue
        feed.source.offsets[partition] = values["offset"]
        feed.index.load(partition, values["index"])
        if values["newest_final_ms"] is not None:
            feed.newest_final_ms[partition] = values["newest_final_ms"]
