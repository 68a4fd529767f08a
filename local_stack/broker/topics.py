"""Asks a broker whether it answers, and creates topics with their policies."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

from springtide.contracts.topics import ALL_TOPICS, TopicSpec
from springtide.runtime.config import KafkaConfig
from springtide.runtime.settings import milliseconds

_PROBE_TIMEOUT_S = 0.5

_API_VERSIONS_REQUEST = struct.pack(">ihhih", 10, 18, 0, 1, -1)
"""Length, ApiVersions (key 18) in version 0, correlation id 1, no client id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicPlan:
    """One topic to create."""

    name: str
    """Topic name on the broker."""

    partitions: int
    """Number of partitions."""

    replication: int
    """Copies of each partition."""

    settings: dict[str, str] = field(default_factory=dict)
    """Topic-level settings, such as cleanup.policy and retention.ms."""


def is_answering(bootstrap: str) -> bool:
    """Return whether a Kafka broker answers at `host:port`.

    Sends the protocol's smallest request by hand: a client would be built anew for each look, retry a
    refused connection for seconds, and cost a hundred times as much.
    """
    host, _, port = bootstrap.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _PROBE_TIMEOUT_S) as link:
            link.sendall(_API_VERSIONS_REQUEST)
            return len(link.recv(8)) == 8
    except OSError:
        return False


def plan_topics(config: KafkaConfig, specs: Iterable[TopicSpec] = ALL_TOPICS) -> list[TopicPlan]:
    """Return what to create for the contract's topics, with their prefix, partitions and policy."""
    return [
        TopicPlan(
            name=config.topic(spec.name),
            partitions=config.partitions if spec.partitioned else 1,
            replication=config.replication,
            settings=_policy(spec, milliseconds(config.retention)),
        )
        for spec in specs
    ]


def _policy(spec: TopicSpec, retention_ms: int) -> dict[str, str]:
    # Stamped on arrival: event times of 1970 or 2100 in a producer's stamp would upset retention.
    settings = {"message.timestamp.type": "LogAppendTime"}
    if spec.compacted:
        return settings | {"cleanup.policy": "compact"}
    return settings | {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}


def create_topics(bootstrap: str, plans: Iterable[TopicPlan]) -> list[str]:
    """Create the topics that are not there yet and return the names of those it created.

    Raises:
        kafka.errors.KafkaError: the broker refuses, or does not answer.
    """
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        present = set(admin.list_topics())
        missing = [plan for plan in plans if plan.name not in present]
        for plan in missing:
            _create(admin, plan)
        if missing:
            admin.wait_for_topics([plan.name for plan in missing])
        return [plan.name for plan in missing]
    finally:
        admin.close()


def delete_topics(bootstrap: str, names: Sequence[str]) -> None:
    """Delete topics with their messages.

    Raises:
        kafka.errors.KafkaError: the broker refuses, or does not answer.
    """
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.delete_topics(list(names))
    finally:
        admin.close()


def _create(admin: KafkaAdminClient, plan: TopicPlan) -> None:
    topic = NewTopic(
        name=plan.name,
        num_partitions=plan.partitions,
        replication_factor=plan.replication,
        topic_configs=plan.settings,
    )
    try:
        admin.create_topics([topic])
    except TopicAlreadyExistsError:
        return  # another process created it in between
