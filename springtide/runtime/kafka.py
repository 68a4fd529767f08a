"""kafka-python clients with the settings that lose nothing, and a wait for broker and topics at start."""

import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from springtide.contracts.errors import BrokerError
from springtide.runtime.config import KafkaConfig


def servers(config: KafkaConfig) -> list[str]:
    """Split the bootstrap list."""
    return [server.strip() for server in config.bootstrap.split(",")]


def make_producer(config: KafkaConfig, *, linger_ms: int = 5, **more: Any) -> Any:
    """Make an idempotent producer that waits for all replicas. Close it: an open one keeps its process alive."""
    settings = {"acks": "all", "enable_idempotence": True, "linger_ms": linger_ms, "compression_type": None, **more}
    return KafkaProducer(bootstrap_servers=servers(config), **settings)


def make_consumer(
    config: KafkaConfig, topics: Sequence[str], *, group: str | None = None, from_start: bool = True, **more: Any
) -> Any:
    """Make a consumer; without a group it is assigned every partition of its topics and commits nothing."""
    settings = {
        "auto_offset_reset": "earliest" if from_start else "latest",
        "enable_auto_commit": False,
        "fetch_max_wait_ms": 100,
        "group_id": group,
        **more,
    }
    consumer = KafkaConsumer(bootstrap_servers=servers(config), **settings)
    if group is None:
        consumer.assign(all_partitions(consumer, topics))
        if from_start:
            consumer.seek_to_beginning()
        else:
            consumer.seek_to_end()
    else:
        consumer.subscribe(list(topics))
    return consumer


def all_partitions(consumer: Any, topics: Sequence[str]) -> list[TopicPartition]:
    """List every partition of the topics.

    Raises:
        BrokerError: a topic does not exist.
    """
    found: list[TopicPartition] = []
    for topic in topics:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise BrokerError(f"kafka: expected topic {topic!r}, got none of that name; create the topics first")
        found.extend(TopicPartition(topic, number) for number in sorted(numbers))
    return found


def wait_for_topics(config: KafkaConfig, topics: Sequence[str]) -> None:
    """Block until the broker answers and every topic exists.

    Raises:
        BrokerError: `kafka.ready_timeout` passed.
    """
    deadline = time.monotonic() + config.ready_timeout.total_seconds()
    wanted = {config.topic(name) for name in topics}
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            admin = KafkaAdminClient(bootstrap_servers=servers(config))
            try:
                missing = wanted - set(admin.list_topics())
            finally:
                admin.close()
            if not missing:
                return
            last = f"no topic {', '.join(sorted(missing))}"
        except (KafkaError, OSError) as error:
            last = f"{type(error).__name__}: {error}"
        time.sleep(0.2)
    raise BrokerError(
        f"kafka.bootstrap: expected {len(wanted)} topics at {config.bootstrap} within {config.ready_timeout}, "
        f"got {last}; start the broker and create the topics"
    )
