"""Fixtures for every tier: one real broker a run, fresh topics a test, and markers by folder."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from local_stack.broker.local_broker import LocalBroker
from local_stack.broker.topics import create_topics, delete_topics, plan_topics
from local_stack.folders import cache_folder
from springtide.runtime.config import KafkaConfig

settings.register_profile("without_deadline", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("without_deadline")

TIERS = ("unit", "contract", "integration", "e2e", "browser", "benchmark")


def pytest_collection() -> None:
    """Leave the garbage alone while modules are imported: torch alone makes a million objects, all of which stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Take what was imported out of every later search for garbage."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, the folder under tests/."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            tier = item.path.relative_to(here).parts[0]
            if tier in TIERS:
                item.add_marker(tier)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """One Kafka for the whole run, on free ports; `.bootstrap` is its address."""
    with LocalBroker(tmp_path_factory.mktemp("broker"), cache_folder(os.environ)) as running:
        yield running


@pytest.fixture
def kafka_config(broker: LocalBroker) -> Iterator[KafkaConfig]:
    """Settings of a Kafka on which all of the contract's topics exist, for this test alone.

    Two partitions: more than one, so that no order comes about by accident.
    """
    config = KafkaConfig(bootstrap=broker.bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:8]}-", partitions=2)
    plans = plan_topics(config)
    create_topics(broker.bootstrap, plans)
    yield config
    delete_topics(broker.bootstrap, [plan.name for plan in plans])


@pytest.fixture
def topic_prefix(kafka_config: KafkaConfig) -> str:
    """The prefix of this test's topics."""
    return kafka_config.topic_prefix
