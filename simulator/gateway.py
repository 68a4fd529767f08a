"""Asks the gateway for the slates of a step: at once, within a bound, and again until each is answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import aiohttp
import msgspec

from simulator.config import SimulatorConfig
from simulator.live_metrics import GATEWAY_ERRORS
from springtide.contracts.codec import encode
from springtide.contracts.errors import ContractError, SpringtideError
from springtide.contracts.scoring import SlateRequest, SlateResponse

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S: Final = 2.0
_responses: Final = msgspec.json.Decoder(SlateResponse)


class Stopped(SpringtideError):
    """The process was asked to end while it waited for an answer."""


class SlateSource(Protocol):
    """Whoever answers slate requests."""

    async def slates(self, requests: Sequence[SlateRequest]) -> list[SlateResponse]:
        """Answer all, in order."""
        ...


class Gateway:
    """The HTTP client of `POST /v1/slates`; use it as an async context."""

    def __init__(self, config: SimulatorConfig, stopped: Callable[[], bool], waiting: Callable[[str], None]) -> None:
        """`stopped` says whether to give up; `waiting` is told why a request must be repeated."""
        self._url = config.gateway.rstrip("/") + "/v1/slates"
        self._concurrency, self._first_wait_s = config.concurrency, config.retry_wait.total_seconds()
        self._timeout = aiohttp.ClientTimeout(total=config.request_timeout.total_seconds())
        self._stopped, self._waiting = stopped, waiting
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Gateway":
        connector = aiohttp.TCPConnector(limit=self._concurrency, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def slates(self, requests: Sequence[SlateRequest]) -> list[SlateResponse]:
        """Answer all, in order.

        Raises:
            ContractError: the gateway refuses a request as malformed, or answers with something else.
            Stopped: the process is to end.
        """
        gate = asyncio.Semaphore(self._concurrency)

        async def bounded(request: SlateRequest) -> SlateResponse:
            async with gate:
                return await self._slate(request)

        return list(await asyncio.gather(*(bounded(request) for request in requests)))

    async def _slate(self, request: SlateRequest) -> SlateResponse:
        """Ask until answered; a repeated request keeps its id."""
        body, wait = encode(request), self._first_wait_s
        while True:
            try:
                return await self._ask(body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = type(error).__name__
                GATEWAY_ERRORS.labels(reason=reason).inc()
                self._waiting(f"the gateway at {self._url}: {reason} {error}")
            if self._stopped():
                raise Stopped(f"simulator.gateway: expected an answer from {self._url}, got none before the end")
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _ask(self, body: bytes) -> SlateResponse:
        if self._session is None:
            raise RuntimeError("Gateway: expected `async with`, got a bare call; enter it first")
        async with self._session.post(self._url, data=body, headers={"Content-Type": "application/json"}) as answer:
            content = await answer.read()
            if answer.status == 429 or answer.status >= 500:
                raise aiohttp.ClientResponseError(
                    answer.request_info,
                    answer.history,
                    status=answer.status,
                    message=content[:100].decode("utf-8", "replace"),
                )
            if answer.status != 200:
                raise ContractError(
                    f"simulator.gateway: expected 200 from {self._url}, got {answer.status} {content[:300]!r}; "
                    "both must speak the same contract"
                )
        try:
            return _responses.decode(content)
        except msgspec.DecodeError as error:
            raise ContractError(
                f"simulator.gateway: expected a SlateResponse, got {error}; mend the gateway"
            ) from error
