"""The thread that reads the topics and feeds the board."""

import logging
import threading
from typing import Any, Final

import msgspec
from prometheus_client import Counter

from monitoring.board import Board
from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.codec import truth_decoder
from springtide.contracts.reports import ProcessReport
from springtide.contracts.samples import Sample
from springtide.contracts.topics import METRICS, MODEL_UPDATES, SAMPLES, TRUTH
from springtide.runtime.clock import Clock
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_consumer

_log = logging.getLogger(__name__)

TOPICS: Final = (METRICS, SAMPLES, TRUTH, MODEL_UPDATES)

_READ = Counter("springtide_monitoring_messages_total", "Messages read by the page's feed.", ["topic"])
_BAD = Counter("springtide_monitoring_undecodable_total", "Messages that the page's feed could not decode.", ["topic"])

_decoders: Final[dict[str, Any]] = {
    METRICS.name: msgspec.json.Decoder(ProcessReport),
    SAMPLES.name: msgspec.json.Decoder(Sample),
    TRUTH.name: truth_decoder,
    MODEL_UPDATES.name: msgspec.json.Decoder(ModelUpdate),
}


class Feed:
    """Reads from the start of every topic, so that a page that was started again shows everything."""

    def __init__(self, kafka: KafkaConfig, board: Board, clock: Clock, sample_every_s: float) -> None:
        self._kafka, self._board, self._clock, self._sample_every_s = kafka, board, clock, sample_every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self.failed: BaseException | None = None

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5)

    @property
    def alive(self) -> bool:
        """Whether it still reads."""
        return self._thread.is_alive()

    def _run(self) -> None:
        consumer = make_consumer(self._kafka, [self._kafka.topic(topic.name) for topic in TOPICS])
        try:
            next_sample = self._clock.monotonic()
            while not self._stop.is_set():
                polled = consumer.poll(timeout_ms=200, max_records=2_000)
                self._deliver(polled)
                if self._clock.monotonic() >= next_sample:
                    self._board.sample(self._clock.now_ms())
                    next_sample = self._clock.monotonic() + self._sample_every_s
        finally:
            consumer.close()

    def _deliver(self, polled: dict[Any, list[Any]]) -> None:
        found: dict[str, list[Any]] = {topic.name: [] for topic in TOPICS}
        for partition, records in polled.items():
            name = partition.topic.removeprefix(self._kafka.topic_prefix)
            decoder = _decoders[name]
            for record in records:
                try:
                    found[name].append(decoder.decode(record.value))
                except msgspec.DecodeError as error:
                    _BAD.labels(topic=name).inc()
                    _log.warning("%s[%d]@%d: %s", name, partition.partition, record.offset, error)
            _READ.labels(topic=name).inc(len(records))
        # truth first: rows are matched with it
        if found[TRUTH.name]:
            self._board.add_truth(found[TRUTH.name])
        if found[MODEL_UPDATES.name]:
            self._board.add_updates(found[MODEL_UPDATES.name])
        if found[METRICS.name]:
            self._board.add_reports(found[METRICS.name])
        if found[SAMPLES.name]:
            for mark in self._board.add_rows(found[SAMPLES.name]):
                _log.warning("%s", mark.text, extra={"kind": mark.kind, "event_time_ms": mark.event_time_ms})
