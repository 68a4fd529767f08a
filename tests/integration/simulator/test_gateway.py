"""The live simulator with an HTTP gateway that fails now and then, and answers a repetition with another slate."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
from aiohttp import web

from springtide.contracts.codec import encode
from springtide.contracts.events import Impression
from springtide.contracts.scoring import SlateRequest, SlateResponse
from springtide.contracts.truth import TruthFault, TruthSlate
from springtide.runtime.config import KafkaConfig
from tests.integration.simulator.conftest import Launch, read_events, read_truths


@dataclass
class FakeGateway:
    """Answers with items 0 to 9; every seventh request fails at its first asking."""

    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=SlateRequest)
        self.asked[wanted.request_id] += 1
        if len(self.asked) % 7 == 0 and self.asked[wanted.request_id] == 1:
            return web.Response(status=503)
        treated = sum(wanted.user_id.encode()) % 2 == 1
        slate = SlateResponse(
            request_id=wanted.request_id, experiment="demo", arm="treatment" if treated else "control",
            other_arms={"a-a": "aa-right"}, model_version="m", policy="greedy", fallback="",
            item_ids=[f"i{number}" for number in range(10)], scores={}, propensities=[1.0] * 10,
        )  # fmt: skip
        return web.Response(body=encode(slate), content_type="application/json")


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    fake, ready, loop = FakeGateway(), threading.Event(), asyncio.new_event_loop()

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/slates", fake.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fake.port = runner.addresses[0][1]
        ready.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    yield fake
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def test_every_request_is_answered_once_in_the_end(
    launch: Launch, gateway: FakeGateway, kafka_config: KafkaConfig
) -> None:
    process = launch(f'simulator.gateway="http://127.0.0.1:{gateway.port}"', "simulator.deaths_per_day=0")
    assert process.wait(timeout=120) == 0
    shown = {event.request_id for _, event in read_events(kafka_config) if isinstance(event, Impression)}
    assert shown == set(gateway.asked)
    assert max(gateway.asked.values()) == 2  # a failed request came again, with its id

    truths = read_truths(kafka_config)
    arms = {truth.arm for truth in truths if isinstance(truth, TruthSlate)}
    assert arms == {"control", "treatment"}
    assert not [truth for truth in truths if isinstance(truth, TruthFault) and truth.kind == "lost"]
