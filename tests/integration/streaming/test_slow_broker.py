"""Bars 13, 19: a broker that is gone or slow costs time and no row; commits that stick end the process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack.broker.local_broker import LocalBroker
from springtide.contracts.errors import ExitCode
from springtide.runtime.config import KafkaConfig
from tests.integration.streaming.effort import BROKER_DOWN_S, ROUNDS
from tests.integration.streaming.traffic import make_days
from tests.integration.streaming.worker_process import committed, wait_until
from tests.integration.streaming.workers import Workers


@contextmanager
def slow(broker: LocalBroker, busy_s: float = 1.0) -> Iterator[None]:
    """Let the broker answer only once in `busy_s`: so long takes every publication, and every commit."""
    over = threading.Event()

    def pace() -> None:
        while not over.wait(0.05):
            broker.pause()
            over.wait(busy_s)
            broker.resume()

    thread = threading.Thread(target=pace)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_slow_broker_is_waited_for(broker: LocalBroker, kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 13: killed while acknowledgements take a second, the worker has committed nothing that is not there."""
    events, streams = make_days(13, days=3)
    with Workers(kafka_config, tmp_path, streams, parts=8) as workers:
        workers.feed()
        process = workers.start(0)
        workers.wait_for_work()
        for _ in range(ROUNDS):
            with slow(broker):
                workers.feed()
                workers.wait_for_work()
                process.kill()
            process = workers.start(0)
            workers.feed()
            workers.wait_for_work()
        differences = workers.finish(events)
    assert not differences, differences


def test_a_stopped_broker_is_waited_for(broker: LocalBroker, kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 13: the broker is stopped in the middle of the work, and started again."""
    events, streams = make_days(14, days=3)
    given = ("streaming.request_timeout=120s",)
    with Workers(kafka_config, tmp_path, streams, parts=4, sets=given) as workers:
        workers.feed()
        process = workers.start(0)
        workers.wait_for_work()
        workers.feed()
        broker.stop()
        stopped = time.monotonic()
        wait_until(lambda: process.alive() and time.monotonic() - stopped > BROKER_DOWN_S, "the end of the break")
        broker.start()
        differences = workers.finish(events)
    assert not differences, differences


def test_commits_that_stick_end_the_process(broker: LocalBroker, kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 19: finished triggers that no commit follows end the process; the next one goes on."""
    events, streams = make_days(19, days=3)
    given = ("streaming.commit_every=1s", "streaming.commit_stall=3s")
    with Workers(kafka_config, tmp_path, streams, parts=2) as workers:
        workers.feed()
        process = workers.start(0, *given)
        workers.wait_for_work()
        before = committed(kafka_config, workers.group)
        broker.pause()
        try:
            assert process.wait_for_death(60) == ExitCode.COMMIT_STUCK, process.log.read_text()[-2000:]
        finally:
            broker.resume()
        assert committed(kafka_config, workers.group) == before
        differences = workers.finish(events)
    assert not differences, differences


def test_a_process_that_commits_is_left_alone(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    """Bar 19, the other way round: a pause in the traffic is no stuck commit."""
    _, streams = make_days(20, days=1)
    with Workers(kafka_config, tmp_path, streams, parts=1, sets=("streaming.commit_stall=3s",)) as workers:
        workers.feed()
        process = workers.start(0)
        workers.wait_for_work()
        quiet = time.monotonic()
        wait_until(lambda: process.alive() and time.monotonic() - quiet > 5, "a few quiet seconds")
        assert process.stop() == 0
