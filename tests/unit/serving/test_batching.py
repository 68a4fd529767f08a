from __future__ import annotations

import asyncio

import pytest

from serving.gateway.batching import Batcher


class Recorder:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def call(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        await self.gate.wait()
        if -1 in items:
            raise ValueError("a bad item")
        return [10 * item for item in items]


async def until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0)


async def test_requests_in_the_window_share_a_call() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder.call, window_seconds=0.02, max_batch=8)
    assert await asyncio.gather(*(batcher.submit(item) for item in (1, 2, 3))) == [10, 20, 30]
    assert recorder.batches == [[1, 2, 3]]


async def test_a_full_batch_does_not_wait() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder.call, window_seconds=60.0, max_batch=2)
    async with asyncio.timeout(5):
        assert list(await asyncio.gather(batcher.submit(1), batcher.submit(2))) == [10, 20]


async def test_one_call_at_a_time_and_the_rest_waits_for_the_next() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    batcher = Batcher(recorder.call, window_seconds=0.0, max_batch=8)
    first = asyncio.create_task(batcher.submit(1))
    await until(lambda: recorder.batches)
    others = [asyncio.create_task(batcher.submit(item)) for item in (2, 3)]
    await asyncio.sleep(0)
    assert batcher.busy_seconds() > 0.0
    recorder.gate.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30]
    assert recorder.batches == [[1], [2, 3]]
    assert batcher.busy_seconds() == 0.0


async def test_who_gave_up_is_left_out() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    batcher = Batcher(recorder.call, window_seconds=0.0, max_batch=8)
    first = asyncio.create_task(batcher.submit(1))
    await until(lambda: recorder.batches)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(batcher.submit(2), 0.01)
    third = asyncio.create_task(batcher.submit(3))
    recorder.gate.set()
    assert list(await asyncio.gather(first, third)) == [10, 30]
    assert recorder.batches == [[1], [3]]


async def test_an_error_reaches_everyone_of_its_batch_and_no_other() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder.call, window_seconds=0.01, max_batch=2)
    results = await asyncio.gather(*(batcher.submit(item) for item in (1, -1, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, ValueError, int]
    assert await batcher.submit(4) == 40
