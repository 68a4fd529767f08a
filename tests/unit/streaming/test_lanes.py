"""Partitions wait for the broker side by side, and each in order."""

import asyncio
from typing import Any

from streaming.shell.lanes import WAITING, Lane


async def test_a_lane_takes_in_order_and_beside_the_others() -> None:
    taken: list[Any] = []
    slow = asyncio.Event()

    async def take(batch: Any) -> None:
        if batch == "slow":
            await slow.wait()
        taken.append(batch)

    first, second = Lane(take), Lane(take)
    for batch in ("slow", "behind"):
        await first.put(batch)  # type: ignore[arg-type]
    await second.put("beside")  # type: ignore[arg-type]
    while "beside" not in taken:
        await asyncio.sleep(0)
    assert taken == ["beside"]
    slow.set()
    while len(taken) < 3:
        await asyncio.sleep(0)
    assert taken == ["beside", "slow", "behind"]
    first.close()
    second.close()


async def test_a_closed_lane_drops_what_waits_and_holds_nobody_up() -> None:
    taken: list[Any] = []

    async def take(batch: Any) -> None:
        taken.append(batch)
        await asyncio.Event().wait()

    lane = Lane(take)
    for number in range(WAITING + 1):
        await lane.put(number)  # type: ignore[arg-type]
        await asyncio.sleep(0)
    putting = asyncio.ensure_future(lane.put("last"))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert not putting.done()
    lane.close()
    await asyncio.wait_for(putting, 5)
    assert taken == [0]
