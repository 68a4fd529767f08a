"""`python -m monitoring`: the page."""

import logging
import secrets
import sys
import threading

import uvicorn
from prometheus_client import REGISTRY

from monitoring.app import make_app
from monitoring.board import Board
from monitoring.config import MonitoringConfig
from monitoring.exported import ExportedQuality
from monitoring.feed import TOPICS, Feed
from springtide.contracts.errors import BrokerError, ExitCode, StackError
from springtide.contracts.topics import CONTROL
from springtide.runtime.clock import SystemClock
from springtide.runtime.command_line import Runtime, run_process
from springtide.runtime.config import LabelsConfig
from springtide.runtime.kafka import make_producer, wait_for_topics

_log = logging.getLogger(__name__)


def main(runtime: Runtime) -> None:
    """Feed the board and serve the page until asked to stop."""
    config: MonitoringConfig = runtime.sections["monitoring"]
    wait_for_topics(runtime.kafka, [topic.name for topic in (*TOPICS, CONTROL)])
    runtime.reporter.start()
    board = Board(config, runtime.sections["labels"])
    REGISTRY.register(ExportedQuality(board.quality))
    feed = Feed(runtime.kafka, board, SystemClock(), config.sample_every.total_seconds())
    feed.start()
    producer = make_producer(runtime.kafka, linger_ms=0)
    token = config.token or secrets.token_urlsafe(9)
    topic = runtime.kafka.topic(CONTROL.name)
    closing = threading.Event()
    every_s = config.sample_every.total_seconds()
    app = make_app(board, token, lambda value: producer.send(topic, value=value), every_s, closing)
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=runtime.process.host, port=config.port, log_level="warning", timeout_graceful_shutdown=2
        )
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # ours are in place
    thread = threading.Thread(target=server.run, name="page", daemon=True)
    thread.start()
    _log.info("page on http://%s:%d/?token=%s", runtime.process.host, config.port, token)
    try:
        _watch(runtime, feed, thread, f"page on http://{runtime.process.host}:{config.port}")
    finally:
        closing.set()
        server.should_exit = True
        thread.join(timeout=5)
        feed.stop()
        producer.close(timeout=2)
        runtime.reporter.stop()


def _watch(runtime: Runtime, feed: Feed, server: threading.Thread, status: str) -> None:
    runtime.health.update(ready=True, status=status)
    while not runtime.shutdown.wait(0.5):
        if not server.is_alive():
            raise StackError(
                "monitoring.port: expected a free port, got a taken one; choose another", ExitCode.PORT_TAKEN
            )
        if not feed.alive:
            raise BrokerError("monitoring: expected its feed to go on reading, got its end; see the log above")


if __name__ == "__main__":
    sections = {"monitoring": MonitoringConfig, "labels": LabelsConfig}
    sys.exit(run_process("monitoring", "Serve the page: lag, quality, drift, experiments, freshness.", sections, main))
