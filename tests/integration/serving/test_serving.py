"""The whole of serving on a real broker, Ray, Feast and bundles with random weights. The tests build on each other."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil
from kafka import KafkaProducer

from benchmarks.serving_rig import NOW_MS, announce, send
from springtide.contracts.codec import encode, event_decoder
from springtide.contracts.control import Ramp
from springtide.contracts.events import Served
from springtide.contracts.features import COUNTS, USER_FEATURES
from springtide.contracts.topics import CONTROL, EVENTS
from springtide.runtime.kafka import make_consumer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.serving.conftest import Stage

SWAPS = 22


def ask(stage: Stage, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"user_id": "u1", "event_time_ms": NOW_MS, **fields}
    request = urllib.request.Request(f"{stage.serving.url}/v1/slates", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def until(holds: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.1)


def read_served(stage: Stage, request_ids: set[str]) -> list[tuple[Served, int]]:
    """Read the topic until these requests are there, and what else is there with them; each with its partition."""
    consumer = make_consumer(stage.kafka, [stage.kafka.topic(EVENTS.name)])
    found: list[tuple[Served, int]] = []
    try:
        deadline = time.monotonic() + 30
        while not request_ids <= {event.request_id for event, _ in found}:
            assert time.monotonic() < deadline, "the exposures did not arrive"
            for partition, records in consumer.poll(timeout_ms=200).items():
                for record in records:
                    event = event_decoder.decode(record.value)
                    assert isinstance(event, Served)
                    found.append((event, partition.partition))
        for records in consumer.poll(timeout_ms=500).values():
            found += [(event_decoder.decode(record.value), record.partition) for record in records]
    finally:
        consumer.close()
    return [(event, partition) for event, partition in found if event.request_id in request_ids]


def test_without_a_model_popular_items_are_explored_and_logged_with_features(stage: Stage) -> None:
    status, slate = ask(stage, request_id="cold", size=5)
    assert (status, slate["fallback"], slate["model_version"]) == (200, "no_model", "")
    assert len(set(slate["item_ids"])) == 5
    assert all(0.0 < propensity < 1.0 for propensity in slate["propensities"])
    ((event, partition),) = read_served(stage, {"cold"})
    assert (event.item_ids, event.propensities) == (slate["item_ids"], slate["propensities"])
    features = event.features
    assert features is not None
    assert features.feature_time_ms == NOW_MS - 60_000
    assert set(features.user) == set(USER_FEATURES)
    assert all(len(features.item[name]) == 5 for name in COUNTS)
    assert max(features.item["clicks_7d"]) > 0.0
    assert len(features.item_category) == 5
    producer = KafkaProducer(bootstrap_servers=stage.kafka.bootstrap)
    topic = stage.kafka.topic(EVENTS.name)
    sent = producer.send(topic, key=b"u1", value=encode(event)).get(timeout=30)
    producer.close()
    assert sent.partition == partition, "the simulator's producer must put a user's events beside the slate"


def test_a_repeated_request_is_answered_alike_and_logged_once(stage: Stage) -> None:
    one, two = ask(stage, request_id="again"), ask(stage, request_id="again")
    assert one == two
    ask(stage, request_id="after")
    assert len(read_served(stage, {"again", "after"})) == 2


def test_bad_requests_name_their_field(stage: Stage) -> None:
    assert ask(stage, size=0) == (422, {"field": "size", "message": "expected 1 to 50, got 0"})


def test_a_published_model_scores(stage: Stage) -> None:
    update = stage.models.publish("base")
    announce(stage.kafka, update)
    stage.serving.wait_models({update.version})
    _, slate = ask(stage, request_id="warm")
    assert (slate["fallback"], slate["model_version"]) == ("", update.version)
    assert set(slate["scores"]) == {"click", "cart", "purchase"}
    ((event, _),) = read_served(stage, {"warm"})
    assert event.scores == slate["scores"]
    assert len(event.fused_scores) == len(event.item_ids)
    assert event.policy == "explore"


def test_swaps_under_load_fail_no_request(stage: Stage) -> None:
    done, answers = threading.Event(), []

    def load(name: str) -> None:
        number = 0
        while not done.is_set():
            answers.append(ask(stage, user_id=f"u{number % 50}", request_id=f"{name}-{number}"))
            number += 1

    threads = [threading.Thread(target=load, args=(f"load{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    versions = []
    try:
        for number in range(SWAPS):
            update = stage.models.publish("base" if number % 8 == 7 else "delta")
            versions.append(update.version)
            announce(stage.kafka, update)
            stage.serving.wait_models({update.version})
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(answers) > SWAPS
    assert [answer for answer in answers if answer[0] != 200 or answer[1]["fallback"]] == []
    served = {slate["model_version"] for _, slate in answers}
    assert len(served & set(versions)) > SWAPS // 2
    swaps = stage.serving.metric('springtide_model_swaps_total{arm="control",outcome="swapped"}')
    assert swaps >= SWAPS + 1


def test_a_damaged_bundle_is_refused_and_the_old_model_stays(stage: Stage) -> None:
    before = {model["version"] for model in stage.serving.models()}
    models = stage.models
    update = models.publish("delta")
    folder = models.root / models.chain / update.version
    content = bytearray((folder / "dense.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "dense.safetensors").write_bytes(content)
    announce(stage.kafka, update)
    name = 'springtide_model_swaps_total{arm="%s",outcome="refused"}'
    until(lambda: min(stage.serving.metric(name % arm) for arm in ("control", "treatment")) >= 1)
    assert {model["version"] for model in stage.serving.models()} == before
    assert ask(stage)[1]["model_version"] in before
    update = models.publish("base")
    announce(stage.kafka, update)
    stage.serving.wait_models({update.version})


def test_a_missed_announcement_is_caught_up_from_disk(stage: Stage) -> None:
    stage.models.publish("delta")
    stage.models.publish("delta")
    update = stage.models.publish("delta")
    announce(stage.kafka, update)
    stage.serving.wait_models({update.version})


def test_a_ramp_takes_users_out_of_the_experiment(stage: Stage) -> None:
    users = [f"u{index}" for index in range(8)]
    assert {ask(stage, user_id=user)[1]["experiment"] for user in users} == {"demo"}
    send(stage.kafka, CONTROL.name, [(b"", encode(Ramp(command_id="c", issued_ms=1, experiment="demo", enrolled=0.0)))])
    until(lambda: ask(stage)[1]["experiment"] == "")
    assert {ask(stage, user_id=user)[1]["arm"] for user in users} == {"control"}
    send(stage.kafka, CONTROL.name, [(b"", encode(Ramp(command_id="d", issued_ms=1, experiment="demo", enrolled=1.0)))])
    until(lambda: ask(stage)[1]["experiment"] == "demo")


def actors(stage: Stage) -> list[psutil.Process]:
    assert stage.serving.process is not None
    children = psutil.Process(stage.serving.process.pid).children(recursive=True)
    return [child for child in children if "ray::Arm" in " ".join(child.cmdline())]


def test_killed_actors_are_replaced_by_popular_items_and_come_back_with_the_newest_model(stage: Stage) -> None:
    newest = stage.models.version
    killed = actors(stage)
    assert len(killed) == 2
    for actor in killed:
        actor.send_signal(signal.SIGKILL)
    status, slate = ask(stage)
    assert (status, slate["fallback"]) == (200, "actor_down")
    assert len(slate["item_ids"]) == 10
    assert stage.serving.metric('springtide_fallbacks_total{reason="actor_down"}') >= 1
    until(lambda: all(ask(stage, user_id=f"u{index}")[1]["model_version"] == newest for index in range(6)), 240)
    assert not {actor.pid for actor in killed} & {actor.pid for actor in actors(stage)}


def test_the_end_is_clean_and_leaves_no_process(stage: Stage) -> None:
    assert stage.serving.process is not None
    children = psutil.Process(stage.serving.process.pid).children(recursive=True)
    assert stage.serving.stop(signal.SIGTERM) == 0, stage.serving.tail()
    until(lambda: not any(child.is_running() for child in children), 30)


def test_killing_the_driver_leaves_no_process(stage: Stage, tmp_path: Path) -> None:
    from benchmarks.serving_rig import ServingProcess

    with ServingProcess(tmp_path, stage.kafka) as serving:
        serving.wait_until(lambda health: "port" in health, 240)
        assert serving.process is not None
        children = psutil.Process(serving.process.pid).children(recursive=True)
        assert any("raylet" in " ".join(child.cmdline()) for child in children)
        os.kill(serving.process.pid, signal.SIGKILL)
        until(lambda: not any(child.is_running() for child in children), 180)  # Ray's agents take a minute
