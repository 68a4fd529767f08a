"""What the gateway knows of an arm's actor."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from serving.gateway import metrics
from serving.wire import RankedSlate, encode, ranking_decoder
from springtide.contracts.scoring import SlateRequest


class RankRefused(Exception):
    """An actor gave no answer; `reason` is the fallback's."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class ArmClient(Protocol):
    """Ranks batches for one arm."""

    async def rank(self, requests: list[SlateRequest]) -> Sequence[RankedSlate]:
        """Give one slate per request, in order.

        Raises:
            RankRefused: the actor is down, or has no items yet.
        """
        ...


class RemoteArm:
    """An arm behind a remote call that takes and gives bytes."""

    def __init__(
        self, name: str, call: Callable[[bytes], Awaitable[bytes]], failure: tuple[type[BaseException], ...]
    ) -> None:
        self._name, self._call, self._failure = name, call, failure

    async def rank(self, requests: list[SlateRequest]) -> Sequence[RankedSlate]:
        """Give one slate per request, in order.

        Raises:
            RankRefused: the actor is down, or has no items yet.
        """
        try:
            answer: Any = await self._call(encode(requests))
        except self._failure as error:
            raise RankRefused("actor_down", f"{type(error).__name__}: {error}") from error
        ranking = ranking_decoder.decode(answer)
        metrics.BATCHES.labels(self._name).inc()
        for stage, seconds in ranking.seconds.items():
            metrics.STAGE_SECONDS.labels(self._name, stage).inc(seconds)
        if not ranking.slates:
            raise RankRefused("no_items", f"arm {self._name}: expected items to rank, got none; wait for the catalogue")
        return ranking.slates
