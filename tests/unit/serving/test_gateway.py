"""The gateway with a fake arm and a fake producer: what is answered, what is logged, what is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from serving.config import ArmConfig, ExperimentConfig
from serving.gateway.app import ArmModel, make_app
from serving.gateway.arm_client import RankRefused
from serving.gateway.assignment import Assignments
from serving.gateway.exposures import ExposureLog
from serving.gateway.fallback import PopularItems
from serving.gateway.service import SlateService
from serving.wire import RankedSlate
from springtide.contracts.codec import event_decoder
from springtide.contracts.events import Served
from springtide.contracts.scoring import SlateRequest

REQUEST = {"user_id": "u1", "event_time_ms": 5, "request_id": "r1", "size": 2, "context": {"device": "phone"}}


class Answer:
    """What an application sent."""

    def __init__(self, status_code: int, content: bytes) -> None:
        self.status_code, self.content = status_code, content

    def json(self) -> Any:
        return json.loads(self.content)


class AsgiClient:
    """Calls an ASGI application without a socket."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"host", b"test")], "http_version": "1.1", "scheme": "http", "root_path": "",
            "server": ("test", 80), "client": ("test", 1),
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], content)


class FakeArm:
    def __init__(self) -> None:
        self.calls: list[list[SlateRequest]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuse: RankRefused | None = None

    async def rank(self, requests: list[SlateRequest]) -> Sequence[RankedSlate]:
        self.calls.append(requests)
        await self.gate.wait()
        if self.refuse:
            raise self.refuse
        return [
            RankedSlate(
                model_version="minute-1.0",
                policy="explore",
                item_ids=["i1", "i2"][: request.size],
                scores={"click": [0.5, 0.25][: request.size]},
                fused_scores=[1.0, 0.5],
                propensities=[0.9, 0.1],
            )
            for request in requests
        ]


class FakeProducer:
    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Served, asyncio.Future[None]]] = []
        self.acknowledges = True

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to disconnect from."""

    async def send(self, topic: str, value: bytes, key: bytes) -> asyncio.Future[None]:
        event = event_decoder.decode(value)
        assert isinstance(event, Served)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent.append((key, event, sent))
        if self.acknowledges:
            sent.set_result(None)
        return sent


class Rig:
    def __init__(self, **changes: Any) -> None:
        self.arm, self.producer, self.popular = FakeArm(), FakeProducer(), PopularItems()
        self.popular.replace(["i9", "i8"])
        self.exposures = ExposureLog(
            lambda: self.producer, "events", wait_seconds=0.02, backlog=changes.pop("backlog", 10)
        )
        settings: dict[str, Any] = {
            "deadline_seconds": 0.05, "window_seconds": 0.0, "max_batch": 4, "repeat_memory": 8, **changes,
        }  # fmt: skip
        self.service = SlateService(
            arms={"control": self.arm},
            assignments=Assignments(ExperimentConfig(arms=(ArmConfig(name="control"),))),
            popular=self.popular,
            exposures=self.exposures,
            producer="serving-0",
            **settings,
        )
        model = ArmModel(arm="control", chain="minute", version="minute-1.0", newest_event_ms=4, items=2)
        self.app = make_app(self.service, self.exposures, lambda: [model])
        self.client = AsgiClient(self.app)
        self.started = False

    async def post(self, **changes: Any) -> Answer:
        if not self.started:
            self.started = True
            await self.exposures.start()
        return await self.client.call("POST", "/v1/slates", json.dumps({**REQUEST, **changes}).encode())

    @property
    def events(self) -> list[Served]:
        return [event for _, event, _ in self.producer.sent]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_slate_is_logged_and_then_answered() -> None:
    rig = Rig()
    answer = await rig.post()
    assert answer.status_code == 200
    body = answer.json()
    assert (body["item_ids"], body["arm"], body["model_version"], body["fallback"]) == (
        ["i1", "i2"], "control", "minute-1.0", "",
    )  # fmt: skip
    ((key, event, _),) = rig.producer.sent
    assert (key, event.request_id, event.user_id, event.event_time_ms) == (b"u1", "r1", "u1", 5)
    assert (event.item_ids, event.propensities) == (body["item_ids"], body["propensities"])
    assert (event.event_id, event.producer, event.context.device) == ("r1:served", "serving-0", "phone")
    assert set(event.other_arms) == {"a-a"}
    assert event.other_arms == body["other_arms"]


async def test_a_request_without_id_gets_one() -> None:
    rig = Rig()
    one, two = (await rig.post(request_id="")).json(), (await rig.post(request_id="")).json()
    assert one["request_id"]
    assert one["request_id"] != two["request_id"]
    assert len(rig.events) == 2


async def test_a_repeated_request_gets_the_same_answer_and_is_logged_once() -> None:
    rig = Rig()
    one, two = await asyncio.gather(rig.post(), rig.post())
    three = await rig.post()
    assert one.content == two.content == three.content
    assert len(rig.events) == 1
    await rig.post(user_id="u2")
    assert len(rig.events) == 2, "another user's request of the same id is another request"


async def test_a_slow_arm_is_replaced_by_popular_items_and_counted() -> None:
    rig = Rig()
    rig.popular.replace(["i9", "i8", "i7"])
    rig.arm.gate.clear()
    before = counted("springtide_fallbacks_total", reason="timeout")
    body = (await rig.post(exclude=["i9"])).json()
    assert (body["item_ids"], body["fallback"], body["policy"]) == (["i8", "i7"], "timeout", "popularity")
    assert (body["model_version"], body["propensities"], body["scores"]) == ("", [1.0, 1.0], {})
    assert counted("springtide_fallbacks_total", reason="timeout") == before + 1
    assert rig.events[0].fallback == "timeout"
    stalled = (await rig.post(request_id="r2")).json()
    assert stalled["fallback"] == "stalled", "a stuck call is not waited for twice"
    rig.arm.gate.set()
    async with asyncio.timeout(5):
        while (await rig.post(request_id="")).json()["fallback"]:
            await asyncio.sleep(0.001)


async def test_an_arm_that_is_down_is_replaced_by_popular_items() -> None:
    rig = Rig()
    rig.popular.replace(["i9"])
    rig.arm.refuse = RankRefused("actor_down", "gone")
    body = (await rig.post()).json()
    assert (body["item_ids"], body["fallback"]) == (["i9"], "actor_down")


async def test_before_any_item_is_known_the_answer_is_503_and_may_be_asked_again() -> None:
    """Whether or not this arm knows the catalogue already: another may not, and has nothing to fall back on."""
    rig = Rig()
    rig.popular.replace([])
    before = counted("springtide_requests_total", arm="control", outcome="not_ready")
    answer = await rig.post()
    assert answer.status_code == 503
    assert "catalogue" in answer.json()["message"]
    assert not rig.events
    assert counted("springtide_requests_total", arm="control", outcome="not_ready") == before + 1
    rig.popular.replace(["i9"])
    assert (await rig.post()).status_code == 200


async def test_a_request_that_excludes_all_there_is_fails_and_is_counted_so() -> None:
    rig = Rig()
    rig.arm.refuse = RankRefused("no_items", "none yet")
    before = counted("springtide_requests_total", arm="control", outcome="error")
    assert (await rig.post(exclude=["i8", "i9"])).status_code == 503
    assert counted("springtide_requests_total", arm="control", outcome="error") == before + 1


async def test_a_silent_broker_delays_an_answer_and_loses_nothing() -> None:
    rig = Rig()
    rig.producer.acknowledges = False
    before = counted("springtide_exposures_unacked_total")
    assert (await rig.post()).status_code == 200
    assert counted("springtide_exposures_unacked_total") == before + 1
    assert rig.exposures.open == 1
    rig.producer.sent[0][2].set_result(None)
    async with asyncio.timeout(5):
        while rig.exposures.open:
            await asyncio.sleep(0)


async def test_an_exposure_that_the_producer_gave_up_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.gateway.exposures.RETRY_SECONDS", 0.0)
    rig = Rig()
    rig.producer.acknowledges = False
    await rig.post()
    rig.producer.acknowledges = True
    rig.producer.sent[0][2].set_exception(TimeoutError("delivery timed out"))
    async with asyncio.timeout(5):
        while rig.exposures.open:
            await asyncio.sleep(0)
    assert [event.event_id for event in rig.events] == ["r1:served", "r1:served"]


async def test_a_full_backlog_drops_and_counts() -> None:
    rig = Rig(backlog=1)
    rig.producer.acknowledges = False
    before = counted("springtide_exposures_dropped_total")
    await rig.post(request_id="a")
    assert (await rig.post(request_id="b")).status_code == 200
    assert counted("springtide_exposures_dropped_total") == before + 1
    assert len(rig.events) == 1


async def test_a_bad_request_names_its_field() -> None:
    rig = Rig()
    answer = await rig.post(size=99)
    assert (answer.status_code, answer.json()["field"]) == (422, "size")
    answer = await rig.client.call("POST", "/v1/slates", b"{")
    assert answer.status_code == 400
    assert not rig.arm.calls


async def test_models_and_description() -> None:
    rig = Rig()
    assert (await rig.client.call("GET", "/v1/models")).json() == [
        {
            "arm": "control",
            "chain": "minute",
            "version": "minute-1.0",
            "newest_event_ms": 4,
            "items": 2,
            "rolled_back": "",
        }
    ]
    described = (await rig.client.call("GET", "/openapi.json")).json()
    post = described["paths"]["/v1/slates"]["post"]
    assert set(post["responses"]) == {"200", "400", "422", "503"}
    schemas = described["components"]["schemas"]
    wanted = {name for name in SlateRequest.__struct_fields__}
    assert set(schemas["SlateRequest"]["properties"]) == wanted
    assert schemas["SlateRequest"]["required"] == ["user_id", "event_time_ms"]
    for reference in _references(described):
        assert reference.removeprefix("#/components/schemas/") in schemas
    assert (await rig.client.call("GET", "/docs")).status_code == 404, "it would load scripts from elsewhere"


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []


def test_an_answer_fits_its_contract() -> None:
    from springtide.contracts.scoring import SlateResponse

    async def ask() -> bytes:
        return (await Rig().post()).content

    response = msgspec.json.decode(asyncio.run(ask()), type=SlateResponse)
    assert response.scores == {"click": [0.5, 0.25]}
