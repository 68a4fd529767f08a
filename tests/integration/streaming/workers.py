"""Joiners of one group that are killed again and again while events come in, and what came of it."""

from collections.abc import Iterator
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from springtide.contracts.codec import encode
from springtide.contracts.errors import ExitCode
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
SLOW_COMMITS = "streaming.commit_every=25s"
"""Longer than the attribution window takes, at the pace of these events."""


class Workers:
    """A group of joiners, and the events that are sent to them part by part."""

    def __init__(
        self,
        kafka: KafkaConfig,
        folder: Path,
        streams: Streams,
        *,
        parts: int,
        count: int = 2,
        sets: tuple[str, ...] = (),
    ) -> None:
        self.kafka, self.streams, self._sets = kafka, streams, sets
        self.group = f"{kafka.topic_prefix}springtide-joiner"
        self.folders = [folder / f"worker-{number}" for number in range(count)]
        for each in self.folders:
            each.mkdir(parents=True)
        self.processes: list[StreamProcess | None] = [None] * count
        self._parts = in_parts(streams, parts)
        self._producer = make_producer(kafka)
        self._watch = KafkaConsumer(bootstrap_servers=servers(kafka))
        self._there: set[str] = set()
        self.restarts = 0
        """Workers that ended for a hole in what they were handed, and were started again."""

    def __enter__(self) -> "Workers":
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
        """Start one of them."""
        given = (*JOINER, *self._sets, *sets)
        process = StreamProcess(self.kafka, self.folders[number], *given, failpoint=failpoint)
        self.processes[number] = process
        return process

    def running(self) -> Iterator[StreamProcess]:
        """Give those that were started and not ended here; one that ended by itself fails the test.

        But for the end that asks for a start: Faust may hand over records from before a rebalance with others left
        out, and the worker then ends rather than go on (exit 23). Whoever runs it starts it again; so does this.
        """
        for number, process in enumerate(self.processes):
            if process is None or process.ended:
                continue
            if process.child.poll() == ExitCode.RECOVERY:
                self.restarts += 1
                yield self.start(number)
            else:
                assert process.alive()
                yield process

    def died(self, number: int, point: str) -> bool:
        """Say whether one has died of its point; start it again where it asked for that."""
        process = self.processes[number]
        assert process is not None
        code = process.child.poll()
        if code == ExitCode.RECOVERY:
            self.restarts += 1
            self.start(number, failpoint=point)
        elif code is not None:
            assert process.wait_for_death() == EXIT_CODE, process.log.read_text()[-4000:]
        return code == EXIT_CODE

    def told(self, differences: Differences) -> str:
        """Put what came of it into words."""
        rows = f"{len(differences.missing)} rows lost, {len(differences.unexpected)} unexpected"
        wrong = len(differences.wrong) + len(differences.conflicts)
        return f"{rows}, {wrong} with another payload; {differences.repeated} came again; {self.restarts} restarts"

    def written(self) -> int:
        """Count records of `samples` and of the changelog: any work that is done adds some."""
        names = {self.kafka.topic(SAMPLES.name), f"{self.group}-joiner-changelog"}
        if not names <= self._there:  # the workers make the changelog
            self._there = names & self._watch.topics()
        tps = [TopicPartition(name, number) for name in self._there for number in range(self.kafka.partitions)]
        return sum(self._watch.end_offsets(tps).values())

    def wait_for_work(self) -> None:
        """Wait until those that live have done something."""
        before = self.written()
        wait_until(lambda: bool(list(self.running())) and self.written() > before, "some work", pause=0.01)

    def finish(self, events: list[AnyEvent]) -> Differences:
        """Let one or two go to the end of the events, and compare with the batch join."""
        self.feed_rest()
        if not list(self.running()):
            self.start(0)
            self.start(1)
        wait_until(
            lambda: bool(list(self.running())) and is_done(self.kafka, self.streams, self.group),
            f"the end (logs in {self.folders[0].parent})",
            seconds=120,
        )
        for process in list(self.running()):
            assert process.stop() == 0
        return compare(read_rows(self.kafka), batch_join(events, LABELS))

    def _send(self, partition: int, events: list[AnyEvent]) -> None:
        for event in events:
            key = event.user_id.encode()
            self._producer.send(self.kafka.topic(EVENTS.name), key=key, value=encode(event), partition=partition)
