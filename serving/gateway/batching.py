"""Requests of one arm that arrive together go to its actor in one call: a Ray call costs about 1 ms of CPU."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """One call at a time; what arrives meanwhile, or within the window, forms the next batch.

    Belongs to one event loop. `submit` raises what the call raised.
    """

    def __init__(
        self, call: Callable[[list[Q]], Awaitable[Sequence[A]]], *, window_seconds: float, max_batch: int
    ) -> None:
        self._call, self._window, self._max = call, window_seconds, max_batch
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._full = asyncio.Event()
        self._called_at: float | None = None

    async def submit(self, item: Q) -> A:
        """Put an item into the next batch and wait for its answer."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._max:
            self._full.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    def busy_seconds(self) -> float:
        """Tell how long the call under way has lasted; 0 when there is none."""
        return 0.0 if self._called_at is None else asyncio.get_running_loop().time() - self._called_at

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._wait_for_company()
                # Whoever gave up (its deadline passed) has cancelled its future: its work is not done in vain.
                alive = [pair for pair in self._waiting if not pair[1].done()]
                batch, self._waiting = alive[: self._max], alive[self._max :]
                if batch:
                    await self._run(batch)
        finally:
            self._worker = None

    async def _wait_for_company(self) -> None:
        self._full.clear()
        if len(self._waiting) < self._max and self._window > 0:
            try:
                await asyncio.wait_for(self._full.wait(), self._window)
            except TimeoutError:
                return

    async def _run(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        self._called_at = asyncio.get_running_loop().time()
        try:
            answers = await self._call([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 -- whatever it is, every waiter must hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        finally:
            self._called_at = None
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
