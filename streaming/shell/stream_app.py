"""The Faust application: its settings, its strict transport, and one agent and one table per job."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import faust
from faust.types import TP

from springtide.runtime.config import KafkaConfig
from springtide.runtime.settings import milliseconds
from streaming.config import StreamingConfig
from streaming.shell.job import Job, JobSpec
from streaming.shell.recovery import JobTables
from streaming.shell.rocks_store import RocksStore
from streaming.shell.stores import EntryStore, MemoryStore
from streaming.shell.strict_transport import StrictTransport
from streaming.shell.transport import Transport

STORES: Final[Mapping[str, type[EntryStore]]] = {"memory": MemoryStore, "rocksdb": RocksStore}
"""By the scheme of `streaming.store`."""


class StreamApp(faust.App):  # type: ignore[misc]
    """An application that commits what its jobs have released."""

    jobs: list[Job[Any]]
    record_times: Transport
    fetch_wait_ms: int
    """Wall time that the broker waits for more records."""

    def _new_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_producer, self)

    def released(self, tp: TP) -> int | None:
        """Next offset to commit: what every job on the topic has finished; None while one has not."""
        offsets = [job.released.get(tp.partition) for job in self.jobs if job.topic_name == tp.topic]
        known = [offset for offset in offsets if offset is not None]
        return min(known) if known and len(known) == len(offsets) else None


class JobTable(faust.Table):  # type: ignore[misc]
    """A table whose store is ours; what it keeps is written by its job, with the changelog's acknowledgement."""

    def _new_store(self) -> EntryStore:
        return STORES[self.app.conf.store.scheme](self.app.conf.store, self.app, self, table_name=self.name)

    def on_key_set(self, key: Any, value: Any) -> None:
        """Refuse: Faust would send the change by itself, in another order."""
        raise NotImplementedError(f"{self.name}: expected writes by its job, got one of {key!r}")

    def on_key_del(self, key: Any) -> None:
        """Refuse, as `on_key_set`."""
        raise NotImplementedError(f"{self.name}: expected deletions by its job, got one of {key!r}")


def make_app(
    name: str, kafka: KafkaConfig, streaming: StreamingConfig, state_folder: Path, specs: Sequence[JobSpec[Any]]
) -> StreamApp:
    """Build the application; its id, and so its consumer group and changelogs, begin with the topic prefix."""
    datadir = state_folder / "streaming" / name
    datadir.mkdir(parents=True, exist_ok=True)
    app = StreamApp(
        app_id(name, kafka),
        broker=[f"kafka://{server.strip()}" for server in kafka.bootstrap.split(",")],
        store=streaming.store,
        datadir=str(datadir),
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=kafka.partitions,
        topic_replication_factor=kafka.replication,
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=streaming.commit_every.total_seconds(),
        broker_request_timeout=max(90.0, streaming.request_timeout.total_seconds()),
        broker_session_timeout=streaming.session_timeout.total_seconds(),
        broker_heartbeat_interval=streaming.session_timeout.total_seconds() / 4,
        producer_request_timeout=streaming.request_timeout.total_seconds(),
        producer_acks=-1,
        producer_max_request_size=8 * 1024 * 1024,
        producer_max_batch_size=streaming.batch_bytes,
        broker_max_poll_records=streaming.batch_records,
        stream_buffer_maxsize=max(2, streaming.buffer_records // streaming.batch_records),
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        worker_redirect_stdouts=False,
        Table=JobTable,
        TableManager=JobTables,
    )
    app.fetch_wait_ms = milliseconds(streaming.fetch_wait)
    app.record_times = Transport()
    app.jobs = [_add_job(app, spec, kafka) for spec in specs]
    _follow_assignment(app)
    return app


def app_id(name: str, kafka: KafkaConfig) -> str:
    """Give the id of a role's application."""
    return f"{kafka.topic_prefix}springtide-{name}"


def changelog_name(name: str, table: str, kafka: KafkaConfig) -> str:
    """Give the changelog topic of a job's table."""
    return f"{app_id(name, kafka)}-{table}-changelog"


def _add_job(app: StreamApp, spec: JobSpec[Any], kafka: KafkaConfig) -> Job[Any]:
    topic = app.topic(
        kafka.topic(spec.topic), key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    # Each message of recovery is a whole batch, so few are gathered; 1 has a meaning of its own in Faust.
    table = app.Table(spec.name, key_type=bytes, value_type=bytes, partitions=kafka.partitions, recovery_buffer_size=2)
    job = Job(spec, app, table, kafka)
    app.agent(topic, name=f"{spec.name}-agent")(job.run)
    return job


def _follow_assignment(app: StreamApp) -> None:
    async def on_change(*_: Any, **__: Any) -> None:
        for job in app.jobs:
            await job.forget()

    app.on_partitions_revoked.connect(on_change, weak=False)
