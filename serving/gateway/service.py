"""From a request to a logged slate: arm, rank or fall back, log, answer."""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping

import msgspec

from serving.gateway import metrics
from serving.gateway.arm_client import ArmClient, RankRefused
from serving.gateway.assignment import Assigned, Assignments
from serving.gateway.batching import Batcher
from serving.gateway.exposures import ExposureLog
from serving.gateway.fallback import PopularItems
from serving.gateway.repeats import Repeats
from serving.wire import RankedSlate, encode
from springtide.contracts.errors import SpringtideError
from springtide.contracts.events import Served
from springtide.contracts.scoring import SlateRequest, SlateResponse

_log = logging.getLogger(__name__)


class NothingToServe(SpringtideError):
    """No item is known yet, so that not even a fallback has something to show."""


class SlateService:
    """Answers slate requests; belongs to one event loop."""

    def __init__(
        self,
        *,
        arms: Mapping[str, ArmClient],
        assignments: Assignments,
        popular: PopularItems,
        exposures: ExposureLog,
        producer: str,
        deadline_seconds: float,
        window_seconds: float,
        max_batch: int,
        repeat_memory: int,
    ) -> None:
        self._batchers: dict[str, Batcher[SlateRequest, RankedSlate]] = {
            name: Batcher(arm.rank, window_seconds=window_seconds, max_batch=max_batch) for name, arm in arms.items()
        }
        self._assignments, self._popular, self._exposures = assignments, popular, exposures
        self._producer, self._deadline = producer, deadline_seconds
        self._repeats: Repeats[bytes] = Repeats(repeat_memory)
        self.newest_request_ms = 0
        """Newest event time of a request: the actors' clock in reports."""

    async def answer(self, request: SlateRequest) -> bytes:
        """Give the encoded SlateResponse; a request id that was answered before gets the same, and is not logged again.

        Raises:
            NothingToServe: no item is known.
        """
        if not request.request_id:
            return await self._slate(msgspec.structs.replace(request, request_id=uuid.uuid4().hex))
        answer, repeated = await self._repeats.answer(
            (request.user_id, request.request_id), lambda: self._slate(request)
        )
        if repeated:
            metrics.REPEATS.inc()
        return answer

    async def _slate(self, request: SlateRequest) -> bytes:
        started = time.perf_counter()
        self.newest_request_ms = max(self.newest_request_ms, request.event_time_ms)
        assigned = self._assignments.assign(request.user_id)
        # One arm may know the catalogue a moment before another: nobody is served before a fallback is there for all.
        ready = len(self._popular) > 0
        ranked = await self._ranked(request, assigned.arm) if ready else None
        if ranked is None:
            metrics.REQUESTS.labels(assigned.arm, "error" if ready else "not_ready").inc()
            raise NothingToServe("catalogue: expected items, got none; start what publishes topic catalogue")
        metrics.REQUESTS.labels(assigned.arm, "fallback" if ranked.fallback else "model").inc()
        if ranked.fallback:
            metrics.FALLBACKS.labels(ranked.fallback).inc()
        served = _served(request, assigned, ranked, self._producer)
        await self._exposures.write(request.user_id.encode(), encode(served))
        metrics.REQUEST_SECONDS.labels(assigned.arm).observe(time.perf_counter() - started)
        return encode(_response(served))

    async def _ranked(self, request: SlateRequest, arm: str) -> RankedSlate | None:
        batcher = self._batchers[arm]
        if batcher.busy_seconds() > self._deadline:
            return self._popular.slate(request, "stalled")  # waiting for the deadline again would help nobody
        try:
            return await asyncio.wait_for(batcher.submit(request), self._deadline)
        except TimeoutError:
            return self._popular.slate(request, "timeout")
        except RankRefused as error:
            _log.debug("%s", error)
            return self._popular.slate(request, error.reason)


def _served(request: SlateRequest, assigned: Assigned, ranked: RankedSlate, producer: str) -> Served:
    return Served(
        # The same for a request that is repeated after a restart has forgotten it: an equal id means a duplicate.
        event_id=f"{request.request_id}:served",
        user_id=request.user_id,
        event_time_ms=request.event_time_ms,
        producer=producer,
        request_id=request.request_id,
        experiment=assigned.experiment,
        arm=assigned.arm,
        other_arms=assigned.other_arms,
        model_version=ranked.model_version,
        policy=ranked.policy,
        fallback=ranked.fallback,
        context=request.context,
        item_ids=ranked.item_ids,
        scores=ranked.scores,
        fused_scores=ranked.fused_scores,
        propensities=ranked.propensities,
        features=ranked.features,
    )


def _response(served: Served) -> SlateResponse:
    return SlateResponse(
        request_id=served.request_id,
        experiment=served.experiment,
        arm=served.arm,
        other_arms=served.other_arms,
        model_version=served.model_version,
        policy=served.policy,
        fallback=served.fallback,
        item_ids=served.item_ids,
        scores=served.scores,
        propensities=served.propensities,
    )
