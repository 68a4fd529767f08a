"""The embedded broker does what Kafka promises, and survives a crash."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from local_stack.broker.config import BrokerConfig
from local_stack.broker.local_broker import LocalBroker, config_on_free_ports
from local_stack.broker.topics import create_topics, plan_topics
from local_stack.errors import PortTakenError
from local_stack.folders import cache_folder
from springtide.contracts.topics import ALL_TOPICS, EVENTS
from springtide.runtime.config import KafkaConfig


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    for value in values:
        producer.send(topic, value=value, partition=0)
    producer.flush()
    producer.close()


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    values: list[bytes] = []
    while len(values) < count:
        for records in consumer.poll(timeout_ms=1000).values():
            values += [record.value for record in records]
    consumer.close()
    return values


def test_what_is_produced_is_consumed(broker: LocalBroker, topic_prefix: str) -> None:
    values = [b"%d" % number for number in range(100)]
    produce(broker.bootstrap, topic_prefix + "events", values)
    assert consume(broker.bootstrap, topic_prefix + "events", 100) == values


def test_every_topic_of_the_contract_has_its_partitions(kafka_config: KafkaConfig) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka_config.bootstrap)
    described = admin.describe_topics([kafka_config.topic(spec.name) for spec in ALL_TOPICS])
    admin.close()
    got = {topic["name"]: len(topic["partitions"]) for topic in described}
    assert got == {
        kafka_config.topic(spec.name): kafka_config.partitions if spec.partitioned else 1 for spec in ALL_TOPICS
    }


def test_creating_topics_twice_creates_none(kafka_config: KafkaConfig) -> None:
    assert create_topics(kafka_config.bootstrap, plan_topics(kafka_config)) == []


def test_acknowledged_messages_survive_kill_minus_nine(tmp_path: Path) -> None:
    with LocalBroker(tmp_path, cache_folder(os.environ)) as broker:
        config = KafkaConfig(bootstrap=broker.bootstrap)
        create_topics(broker.bootstrap, plan_topics(config, [EVENTS]))
        produce(broker.bootstrap, "events", [b"before"])
        broker.kill()
        broker.start()
        produce(broker.bootstrap, "events", [b"after"])
        assert consume(broker.bootstrap, "events", 2) == [b"before", b"after"]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = BrokerConfig(port=port, controller_port=config_on_free_ports().controller_port)
        with pytest.raises(PortTakenError, match=str(port)):
            LocalBroker(tmp_path, cache_folder(os.environ), config=config).start()
