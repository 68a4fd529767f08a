"""A Kafka with one more partition than the other tests have."""

import uuid
from collections.abc import Iterator

import pytest

from local_stack.broker.local_broker import LocalBroker
from local_stack.broker.topics import create_topics, delete_topics, plan_topics
from springtide.runtime.config import KafkaConfig


@pytest.fixture
def three_partitions(broker: LocalBroker) -> Iterator[KafkaConfig]:
    """Settings of a Kafka whose topics have three partitions."""
    config = KafkaConfig(bootstrap=broker.bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:8]}-", partitions=3)
    plans = plan_topics(config)
    create_topics(broker.bootstrap, plans)
    yield config
    delete_topics(broker.bootstrap, [plan.name for plan in plans])
