"""Writes the broker's `server.properties`."""

from __future__ import annotations

from pathlib import Path

from local_stack.broker.config import BrokerConfig

NODE_ID = 1


def server_properties(config: BrokerConfig, logs: Path) -> dict[str, str]:
    """Return Kafka's settings for one small node whose logs lie in `logs`.

    Topics must be created with their policies, so producers may not create any. Retention and
    clean-up are the topics' own. Small indexes and few internal partitions keep the start quick.
    """
    controller = f"127.0.0.1:{config.controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        "controller.quorum.voters": f"{NODE_ID}@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{config.port},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{config.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(logs),
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "2",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "log.segment.bytes": str(64 * 2**20),
        "log.index.size.max.bytes": str(2**20),
        "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
        "log.cleaner.threads": "1",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "num.recovery.threads.per.data.dir": "1",
        "controlled.shutdown.enable": "false",
        "message.max.bytes": str(8 * 2**20),
        "replica.fetch.max.bytes": str(8 * 2**20),
    }


def render(properties: dict[str, str]) -> str:
    """Return the text of a Java properties file."""
    return "".join(f"{key}={value}\n" for key, value in properties.items())
