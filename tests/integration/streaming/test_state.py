"""Bars 17, 18, 22: state that cannot be read or cannot be whole ends the process; keys go where everyone sends them."""

import random
from pathlib import Path

import pytest
from aiokafka.partitioner import DefaultPartitioner
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from springtide.contracts.errors import ExitCode
from springtide.contracts.topics import FEATURES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer
from tests.integration.streaming.traffic import home_of, is_done, make_days
from tests.integration.streaming.worker_process import (
    StreamProcess,
    committed,
    read_places,
    read_rows,
    send_events,
    wait_until,
)
from tests.integration.streaming.workers import JOINER, Workers
from tests.oracles.batch_join import batch_join, compare
from tests.oracles.streams import LABELS


def changelog(kafka: KafkaConfig) -> str:
    return f"{kafka.topic_prefix}springtide-joiner-joiner-changelog"


def lose_beginning(kafka: KafkaConfig) -> None:
    """Delete the changelog's first record, as another policy would have done, and set the policy back."""
    admin, name = KafkaAdminClient(bootstrap_servers=kafka.bootstrap), changelog(kafka)
    for policy in ("delete", "compact"):
        setting = {"cleanup.policy": policy}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=setting)])
        if policy == "delete":
            admin.delete_records({TopicPartition(name, 0): 1})
    admin.close()


def test_state_that_cannot_be_read_ends_the_process(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 17: an entry of the changelog is broken; nothing is taken in, sent or committed without it."""
    _, streams = make_days(17, days=2)
    with Workers(kafka_config, tmp_path, streams, parts=2) as workers:
        workers.feed()
        workers.start(0)
        workers.wait_for_work()
        (process,) = workers.running()
        assert process.stop() == 0
        producer = make_producer(kafka_config)
        for partition in range(kafka_config.partitions):
            key = f"{partition}/m".encode()
            producer.send(changelog(kafka_config), key=key, value=b"\xc1", partition=partition)
        producer.close()
        before, written = committed(kafka_config, workers.group), workers.written()
        workers.feed()
        process = workers.start(0)
        assert process.wait_for_death() == ExitCode.CHANGELOG_FORMAT
        assert f"{changelog(kafka_config)}/" in process.log.read_text()
        assert committed(kafka_config, workers.group) == before
        assert workers.written() == written


def test_a_changelog_that_lost_its_beginning_is_refused(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 18: a policy that deletes is refused in test_worker_safety.py; so is what it has done already."""
    _, streams = make_days(18, days=1)
    with Workers(kafka_config, tmp_path, streams, parts=1) as workers:
        workers.feed()
        workers.start(0)
        workers.wait_for_work()
        (process,) = workers.running()
        assert process.stop() == 0
        lose_beginning(kafka_config)
        process = workers.start(0)
        assert process.wait_for_death() == ExitCode.CHANGELOG_POLICY
        assert "begin at offset 0" in process.log.read_text()


def test_clients_agree_on_partitions_and_rows_stay_with_their_events(
    three_partitions: KafkaConfig, tmp_path: Path
) -> None:
    """Bar 22: kafka-python, which sends events, and the worker, whose rows lie in the partition of their events.

    The worker's own hash of keys is held against the same rule in tests/unit/streaming/test_partitioning.py.
    """
    draw = random.Random(22)
    rule, numbers = DefaultPartitioner(), list(range(three_partitions.partitions))
    keys = [draw.randbytes(draw.randrange(1, 40)) for _ in range(500)]
    producer = make_producer(three_partitions)
    sent = [producer.send(three_partitions.topic(FEATURES.name), key=key, value=b"{}") for key in keys]
    assert [future.get(10).partition for future in sent] == [rule(key, numbers, numbers) for key in keys]
    producer.close()
    events, streams = make_days(22, days=1, partitions=3)
    with Workers(three_partitions, tmp_path, streams, parts=1) as workers:
        assert not workers.finish(events)
    placed = set(read_places(three_partitions))
    assert {partition for _, partition in placed} == set(numbers)
    assert all(partition == home_of(user_id, 3) for user_id, partition in placed)


def test_rows_are_the_same_without_compiled_faust(
    kafka_config: KafkaConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bar 22: Faust's pure Python streams acknowledge differently from the compiled ones of all the other tests."""
    monkeypatch.setenv("NO_CYTHON", "1")
    events, streams = make_days(23, days=1)
    send_events(kafka_config, streams)
    with StreamProcess(kafka_config, tmp_path, *JOINER) as process:
        process.wait_ready()
        group = f"{kafka_config.topic_prefix}springtide-joiner"
        wait_until(lambda: process.alive() and is_done(kafka_config, streams, group), "the end", process.log)
        assert process.stop() == 0
    assert not compare(read_rows(kafka_config), batch_join(events, LABELS))
