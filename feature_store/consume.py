"""Reads topic `features` in batches and commits an offset only when both stores hold what lies before it."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from feature_store import metrics
from feature_store.batch import decode_rows
from feature_store.config import FeatureStoreConfig
from feature_store.writer import FeatureWriter
from springtide.contracts.codec import encode
from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.errors import DeliveryError
from springtide.contracts.topics import DEAD_LETTER, FEATURES
from springtide.runtime.command_line import Runtime
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer, make_producer

_log = logging.getLogger(__name__)


def consume(runtime: Runtime, writer: FeatureWriter, config: FeatureStoreConfig) -> None:
    """Run until the end is asked for."""
    topic = runtime.kafka.topic(FEATURES.name)
    consumer = _open_at_commit(runtime.kafka, topic, config.group)
    producer = make_producer(runtime.kafka)
    stored = 0
    runtime.health.update(ready=True, status="waiting for features")
    try:
        while not runtime.shutdown.requested:
            records = _gather(runtime, consumer, config)
            if not records:
                continue
            stored += _store(writer, producer, runtime.kafka, records)
            _commit(consumer, records)
            _tell_lag(consumer, topic)
            newest = datetime.fromtimestamp(writer.newest_ms / 1000, UTC).isoformat(" ", "minutes")
            runtime.health.update(status=f"{stored:,} rows stored, newest {newest}", rows=stored)
    finally:
        consumer.close(autocommit=False)
        producer.close(timeout=5)


def _open_at_commit(kafka: KafkaConfig, topic: str, group: str) -> Any:
    """Assign every partition by hand: a restart then goes on at once, without waiting for a dead member to expire."""
    consumer = make_consumer(kafka, [topic], group_id=group, max_poll_records=2_000)
    for partition in consumer.assignment():
        committed = consumer.committed(partition)
        if committed is not None:
            consumer.seek(partition, committed)
    return consumer


def _gather(runtime: Runtime, consumer: Any, config: FeatureStoreConfig) -> list[Any]:
    """Poll until the batch is full or its time is over; rows of one partition keep their order."""
    records: list[Any] = []
    deadline = time.monotonic() + config.batch_every.total_seconds()
    while not runtime.shutdown.requested and len(records) < config.batch_rows:
        left_ms = max(0, round((deadline - time.monotonic()) * 1000))
        polled = consumer.poll(timeout_ms=min(left_ms, 250), max_records=config.batch_rows - len(records))
        for some in polled.values():
            records.extend(some)
        if left_ms == 0:
            break
    return records


def _store(writer: FeatureWriter, producer: Any, kafka: KafkaConfig, records: Sequence[Any]) -> int:
    decoded = decode_rows((record.value for record in records), records[0].topic)
    for position, detail in decoded.refused:
        _refuse(producer, kafka, records[position], detail)
    writer.write(decoded.rows)
    metrics.PUSH_SECONDS.observe(max(0.0, time.time() - min(record.timestamp for record in records) / 1000))
    return len(decoded.rows)


def _refuse(producer: Any, kafka: KafkaConfig, record: Any, detail: str) -> None:
    letter = DeadLetter(
        reason="undecodable",
        detail=detail,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key or b"",
        value=record.value,
    )
    try:
        producer.send(kafka.topic(DEAD_LETTER.name), key=record.key, value=encode(letter)).get(timeout=30)
    except KafkaError as error:
        raise DeliveryError(f"{DEAD_LETTER.name}: expected an acknowledgement, got {error}; restart") from error
    metrics.REFUSED.labels(metrics.STAGE, letter.reason).inc()
    _log.warning("dead letter: %s", detail)


def _commit(consumer: Any, records: Sequence[Any]) -> None:
    ends: dict[TopicPartition, OffsetAndMetadata] = {}
    for record in records:
        ends[TopicPartition(record.topic, record.partition)] = OffsetAndMetadata(record.offset + 1, "", -1)
    consumer.commit(ends)


def _tell_lag(consumer: Any, topic: str) -> None:
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is not None:
            lag = end - consumer.position(partition)
            metrics.LAG.labels(metrics.STAGE, topic, str(partition.partition)).set(lag)
