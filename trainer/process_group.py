"""The ranks' meeting place: gloo over TCP, and one small collective for what is not a tensor."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from trainer.messages import Meeting

Message = TypeVar("Message")


def join_group(meeting: Meeting) -> Any:
    """Form the gloo group; every rank calls it. Returns the default process group."""
    torch.set_num_threads(1)
    store = TCPStore(
        meeting.host, meeting.port, meeting.world_size, is_master=meeting.rank == 0, timeout=meeting.start_timeout
    )
    dist.init_process_group(
        "gloo", store=store, rank=meeting.rank, world_size=meeting.world_size, timeout=meeting.timeout
    )
    return dist.group.WORLD


def gather_messages(message: Message, kind: type[Message]) -> list[Message]:
    """Give every rank the message of each, in rank order; msgpack on the wire, so nothing is unpickled."""
    payload = torch.frombuffer(bytearray(msgspec.msgpack.encode(message)), dtype=torch.uint8)
    sizes = _gather(torch.tensor([len(payload)]), dist.get_world_size(), lambda: torch.zeros(1, dtype=torch.int64))
    longest = max(int(size) for size in sizes)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(payload)] = payload
    parts = _gather(padded, dist.get_world_size(), lambda: torch.zeros(longest, dtype=torch.uint8))
    return [
        msgspec.msgpack.decode(part[: int(size)].numpy().tobytes(), type=kind)
        for part, size in zip(parts, sizes, strict=True)
    ]


def union_of_masks(mask_R: torch.Tensor) -> torch.Tensor:
    """Return, on every rank, the rows that any rank has marked; uint8 (R,)."""
    union = mask_R.clone()
    dist.all_reduce(union, op=dist.ReduceOp.MAX)
    return union


def sum_over_ranks(part: torch.Tensor) -> torch.Tensor:
    """Return, on every rank, the sum of all ranks' tensors."""
    total = part.clone()
    dist.all_reduce(total)
    return total


def _gather(part: torch.Tensor, world_size: int, empty: Callable[[], torch.Tensor]) -> list[torch.Tensor]:
    parts = [empty() for _ in range(world_size)]
    dist.all_gather(parts, part)
    return parts
