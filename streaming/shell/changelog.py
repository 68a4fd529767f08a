"""Makes the topics that the jobs own, and refuses a changelog that could lose state."""

from collections.abc import Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from springtide.contracts.errors import BrokerError, ExitCode
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import all_partitions, make_consumer, servers
from springtide.runtime.settings import milliseconds


class ChangelogError(BrokerError):
    """A changelog's policy could delete state that is still needed."""

    exit_code = ExitCode.CHANGELOG_POLICY


def prepare_topics(kafka: KafkaConfig, changelogs: Sequence[str], internal: Sequence[str]) -> None:
    """Create changelogs (compact only) and internal topics (kept like `events`), and check the changelogs.

    Raises:
        BrokerError: the broker refuses.
        ChangelogError: a changelog is not compact only, has other partitions than `events`, or lost its beginning.
    """
    try:
        admin = KafkaAdminClient(bootstrap_servers=servers(kafka))
        try:
            kept = {"cleanup.policy": "delete", "retention.ms": str(milliseconds(kafka.retention))}
            # A segment is compacted once it is closed; small ones keep a restart short.
            compact = {"cleanup.policy": "compact", "segment.bytes": str(32 * 1024 * 1024)}
            wanted = {**dict.fromkeys(changelogs, compact), **dict.fromkeys(internal, kept)}
            present = set(admin.list_topics())
            for name in wanted.keys() - present:
                _create(admin, kafka, name, wanted[name])
            admin.wait_for_topics(list(wanted))
            for name in changelogs:
                _check_policy(admin, name)
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise BrokerError(f"kafka.bootstrap: expected an answer of {kafka.bootstrap}, got {error}; start it") from error
    _check_partitions(kafka, changelogs)


def _create(admin: Any, kafka: KafkaConfig, name: str, settings: dict[str, str]) -> None:
    topic = NewTopic(
        name=name, num_partitions=kafka.partitions, replication_factor=kafka.replication, topic_configs=settings
    )
    try:
        admin.create_topics([topic])
    except TopicAlreadyExistsError:
        return  # another worker was faster


def _check_policy(admin: Any, name: str) -> None:
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    policy = next(iter(found.values()))[name]["cleanup.policy"]["value"]
    if policy != "compact":
        raise ChangelogError(
            f"{name}: expected cleanup.policy=compact alone, got {policy!r}; with another policy Kafka deletes state "
            "that is still needed: set it back, or stop the process, delete the topic and its group, and start afresh"
        )


def _check_partitions(kafka: KafkaConfig, changelogs: Sequence[str]) -> None:
    consumer = make_consumer(kafka, changelogs)
    try:
        for name in changelogs:
            partitions = all_partitions(consumer, [name])
            if len(partitions) != kafka.partitions:
                raise ChangelogError(
                    f"{name}: expected {kafka.partitions} partitions (kafka.partitions), got {len(partitions)}; "
                    "the number is fixed for the life of the topics: set kafka.partitions back"
                )
            lost = {str(tp.partition): start for tp, start in consumer.beginning_offsets(partitions).items() if start}
            if lost:
                raise ChangelogError(
                    f"{name}: expected every partition to begin at offset 0, got {lost}; records were deleted, so "
                    "state is not whole: delete the topic and the group, and start afresh from `events`"
                )
    finally:
        consumer.close()
