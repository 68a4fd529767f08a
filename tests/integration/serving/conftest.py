"""One serving process with its topics, features and catalogue for all tests of this folder: Ray takes its time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from benchmarks.serving_rig import RandomModels, ServingProcess, publish_catalogue, write_features
from local_stack.broker.topics import create_topics, delete_topics, plan_topics
from springtide.model.config import ModelConfig
from springtide.model.presets import preset
from springtide.runtime.config import KafkaConfig

if TYPE_CHECKING:
    from local_stack.broker.local_broker import LocalBroker

ITEMS = 150


@dataclass
class Stage:
    """What a test plays with."""

    kafka: KafkaConfig
    serving: ServingProcess
    models: RandomModels


@pytest.fixture(scope="module")
def stage(broker: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    kafka = KafkaConfig(bootstrap=broker.bootstrap, topic_prefix=f"s{uuid.uuid4().hex[:8]}-", partitions=2)
    plans = plan_topics(kafka)
    create_topics(broker.bootstrap, plans)
    folder = tmp_path_factory.mktemp("serving")
    publish_catalogue(kafka, ITEMS)
    write_features(folder / "state", users=50, items=ITEMS)
    small = ModelConfig(embedding_dim=8, expert_units=(16, 8), tower_units=(8,))
    models = RandomModels(folder / "state" / "bundles", config=preset(sizes=small), items=ITEMS, users=50)
    # A busy machine must not make slates late: what happens at the deadline is tested without Ray.
    with ServingProcess(folder, kafka, serving__deadline="20s", serving__exposure_wait="20s") as serving:
        serving.wait_ready()
        yield Stage(kafka, serving, models)
    delete_topics(broker.bootstrap, [plan.name for plan in plans])
