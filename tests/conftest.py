"""Fixtures for every tier: one real broker a run, fresh topics a test, and markers by folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.broker.local_broker import LocalBroker
from local_stack.broker.topics import create_topics, delete_topics, plan_topics
from local_stack.folders import cache_folder

TIERS = ("unit", "contract", "integration", "e2e", "browser", "benchmark")


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


@pytest.fixture(scope="session")
def partitions() -> int:
    """Partitions of the partitioned topics in tests: more than one, so that order is no accident."""
    return 2


@pytest.fixture
def topic_prefix(broker: LocalBroker, partitions: int) -> Iterator[str]:
    """A prefix under which all of the contract's topics exist, for this test alone."""
    prefix = f"t{uuid.uuid4().hex[:8]}-"
    plans = plan_topics(partitions, prefix=prefix)
    create_topics(broker.bootstrap, plans)
    yield prefix
    delete_topics(broker.bootstrap, [plan.name for plan in plans])
