"""A short memory of answers: a client that asks again under the same request id gets the same, logged once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

A = TypeVar("A")

Key = tuple[str, str]
"""User id and request id: an id made by one user's client says nothing about another's."""


class Repeats(Generic[A]):
    """The newest `size` answers, those still being made among them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: OrderedDict[Key, asyncio.Task[A]] = OrderedDict()

    async def answer(self, key: Key, make: Callable[[], Awaitable[A]]) -> tuple[A, bool]:
        """Give the answer under `key`, making it if there is none; true: it was there.

        A failed answer is not remembered; who waits for it gets its error.
        """
        known = self._answers.get(key)
        if known is not None:
            return await asyncio.shield(known), True
        task = asyncio.ensure_future(_as_coroutine(make))
        self._answers[key] = task
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)
        try:
            return await asyncio.shield(task), False
        except Exception:
            self._answers.pop(key, None)
            raise


async def _as_coroutine(make: Callable[[], Awaitable[A]]) -> A:
    return await make()
