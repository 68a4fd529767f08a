"""Bars 14, 15, 18: what the worker refuses, survives and never commits."""

from pathlib import Path

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.errors import ExitCode
from springtide.contracts.topics import DEAD_LETTER, EVENTS, SAMPLES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer
from tests.integration.streaming.traffic import is_done, make_traffic
from tests.integration.streaming.worker_process import (
    StreamProcess,
    committed,
    read_records,
    read_rows,
    send_events,
    wait_until,
)
from tests.oracles.batch_join import batch_join, compare
from tests.oracles.streams import LABELS

JOINER = ("streaming.role=joiner", "joiner.trigger_records=50", "joiner.trigger_every=20m")


def group(kafka: KafkaConfig) -> str:
    return f"{kafka.topic_prefix}springtide-joiner"


def test_poison_goes_to_the_dead_letters_and_the_rest_goes_on(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 15: with their cause, and before anything after them is committed."""
    events, sent = make_traffic(5, slates=40)
    producer = make_producer(kafka_config)
    for partition in sent:
        producer.send(kafka_config.topic(EVENTS.name), key=b"u", value=b"{not json", partition=partition)
    producer.flush()
    send_events(kafka_config, sent)
    for partition in sent:
        producer.send(kafka_config.topic(EVENTS.name), key=b"u", value=None, partition=partition)
    producer.close()
    with StreamProcess(kafka_config, tmp_path, *JOINER) as process:
        process.wait_ready()
        wait_until(lambda: process.alive() and is_done(kafka_config, sent, group(kafka_config)), "the end", process.log)
        assert process.stop() == 0
    assert not compare(read_rows(kafka_config), batch_join(events, LABELS))
    letters = [msgspec.json.decode(value, type=DeadLetter) for _, value in read_records(kafka_config, DEAD_LETTER.name)]
    poison = [letter for letter in letters if letter.reason == "undecodable"]
    assert {(letter.partition, letter.offset) for letter in poison} >= {(0, 0), (1, 0)}
    assert {letter.value for letter in poison} <= {b"{not json", b""}


def test_nothing_beyond_a_finished_trigger_is_committed(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    _, sent = make_traffic(6, slates=40)
    send_events(kafka_config, sent)
    never = ("streaming.role=joiner", "joiner.trigger_records=1000000", "joiner.trigger_every=90d")
    with StreamProcess(kafka_config, tmp_path, *never) as process:
        process.wait_ready()
        lag = 'springtide_consumer_lag_records{partition="1",stage="joiner",topic="events"}'
        wait_until(lambda: process.alive() and process.metrics().get(lag) == 0, "all to be read", process.log)
        assert process.stop() == 0
    done = committed(kafka_config, group(kafka_config))
    assert all(offset <= 1 for offset in done.values()), done


def test_a_changelog_that_could_lose_state_is_refused(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 18: a policy that deletes."""
    name = f"{group(kafka_config)}-joiner-changelog"
    admin = KafkaAdminClient(bootstrap_servers=kafka_config.bootstrap)
    admin.create_topics(
        [NewTopic(name=name, num_partitions=2, replication_factor=1, topic_configs={"cleanup.policy": "delete"})]
    )
    admin.close()
    with StreamProcess(kafka_config, tmp_path, *JOINER) as process:
        assert process.child.wait(60) == ExitCode.CHANGELOG_POLICY
        assert "cleanup.policy=compact" in process.log.read_text()


def limit_samples(kafka: KafkaConfig, largest: int) -> None:
    """Set how large a message of `samples` may be."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    setting = {"max.message.bytes": str(largest)}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, kafka.topic(SAMPLES.name), configs=setting)])
    admin.close()


def test_an_undeliverable_row_ends_the_process_and_is_delivered_later(
    kafka_config: KafkaConfig, tmp_path: Path
) -> None:
    """Bar 14: a row too large for its topic; nothing past it is committed."""
    events, sent = make_traffic(8, slates=60)
    limit_samples(kafka_config, 64)
    send_events(kafka_config, sent)
    with StreamProcess(kafka_config, tmp_path, *JOINER) as process:
        assert process.child.wait(60) == ExitCode.DELIVERY
    assert all(offset <= 60 for offset in committed(kafka_config, group(kafka_config)).values())
    limit_samples(kafka_config, 1_000_000)
    with StreamProcess(kafka_config, tmp_path, *JOINER) as process:
        process.wait_ready()
        wait_until(lambda: process.alive() and is_done(kafka_config, sent, group(kafka_config)), "the end", process.log)
        assert process.stop() == 0
    differences = compare(read_rows(kafka_config), batch_join(events, LABELS))
    assert not differences, differences
