"""Reads a whole topic of the finished run."""

from __future__ import annotations

from collections.abc import Iterator

from springtide.contracts.topics import TopicSpec
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer


def read_topic(kafka: KafkaConfig, topic: TopicSpec) -> Iterator[bytes]:
    """Yield every value of a topic, partition by partition as they come, up to its end now."""
    consumer = make_consumer(kafka, [kafka.topic(topic.name)], max_poll_records=2_000)
    try:
        ends = consumer.end_offsets(consumer.assignment())
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    if record.value is not None:
                        yield record.value
    finally:
        consumer.close()
