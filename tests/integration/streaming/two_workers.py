"""Two joiners of one group that are killed again and again while events come in, and what came of it."""

from collections.abc import Iterator
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from springtide.contracts.codec import encode
from springtide.contracts.events import AnyEvent
from springtide.contracts.topics import EVENTS, SAMPLES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer, servers
from streaming.shell.failpoints import EXIT_CODE
from tests.integration.streaming.traffic import Streams, in_parts, is_done
from tests.integration.streaming.worker_process import StreamProcess, read_rows, wait_until
from tests.oracles.batch_join import Differences, batch_join, compare
from tests.oracles.streams import LABELS

JOINER = (
    "streaming.role=joiner",
    "streaming.session_timeout=6s",
    "streaming.batch_bytes=4096",
    "joiner.trigger_records=50",
    "joiner.trigger_every=20m",
    "labels.refund=2d",
)
"""Small batches, so that a trigger's rows and entries need several and a kill can fall between them."""
SLOW_COMMITS = "streaming.commit_every=60s"
"""Longer than the attribution window takes, at the pace of these events."""


class TwoWorkers:
    """A group of two on two partitions."""

    def __init__(self, kafka: KafkaConfig, folder: Path, streams: Streams, parts: int) -> None:
        self.kafka, self.streams = kafka, streams
        self.group = f"{kafka.topic_prefix}springtide-joiner"
        self.folders = [folder / "first", folder / "second"]
        for each in self.folders:
            each.mkdir(parents=True)
        self.processes: list[StreamProcess | None] = [None, None]
        self._parts = in_parts(streams, parts)
        self._producer = make_producer(kafka)
        self._watch = KafkaConsumer(bootstrap_servers=servers(kafka))

    def __enter__(self) -> "TwoWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process is not None:
                process.__exit__()
        self._producer.close()
        self._watch.close()

    def feed(self) -> None:
        """Send the next part of the events."""
        for partition, events in next(self._parts, {}).items():
            self._send(partition, events)
        self._producer.flush()

    def feed_rest(self) -> None:
        """Send all that is left."""
        for part in self._parts:
            for partition, events in part.items():
                self._send(partition, events)
        self._producer.flush()

    def start(self, number: int, *sets: str, failpoint: str = "") -> StreamProcess:
        """Start one of the two."""
        process = StreamProcess(self.kafka, self.folders[number], *JOINER, *sets, failpoint=failpoint)
        self.processes[number] = process
        return process

    def running(self) -> Iterator[StreamProcess]:
        """Give those that live; one that ended by itself fails the test."""
        for process in self.processes:
            if process is not None and process.child.poll() != EXIT_CODE and process.alive():
                yield process

    def written(self) -> int:
        """Count records of `samples` and of the changelog: any work that is done adds some."""
        names = (self.kafka.topic(SAMPLES.name), f"{self.group}-joiner-changelog")
        tps = [TopicPartition(name, number) for name in names for number in range(self.kafka.partitions)]
        return sum(self._watch.end_offsets(tps).values())

    def wait_for_work(self) -> None:
        """Wait until those that live have done something."""
        before = self.written()
        wait_until(lambda: bool(list(self.running())) and self.written() > before, "some work", pause=0.01)

    def finish(self, events: list[AnyEvent]) -> Differences:
        """Let both go to the end of the events, and compare with the batch join."""
        self.feed_rest()
        for number, process in enumerate(self.processes):
            if process is None or process.child.poll() is not None:
                self.start(number)
        log = self.folders[0]
        wait_until(
            lambda: len(list(self.running())) == 2 and is_done(self.kafka, self.streams, self.group),
            f"the end (logs in {log})",
            seconds=120,
        )
        for process in self.running():
            assert process.stop() == 0
        return compare(read_rows(self.kafka), batch_join(events, LABELS))

    def _send(self, partition: int, events: list[AnyEvent]) -> None:
        for event in events:
            key = event.user_id.encode()
            self._producer.send(self.kafka.topic(EVENTS.name), key=key, value=encode(event), partition=partition)
