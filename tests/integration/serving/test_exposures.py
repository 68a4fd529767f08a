"""The exposure log through a broker that stops and goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from serving.gateway.exposures import ExposureLog
from springtide.contracts.topics import EVENTS
from springtide.runtime.kafka import make_consumer

if TYPE_CHECKING:
    from local_stack.broker.local_broker import LocalBroker
    from springtide.runtime.config import KafkaConfig

COUNT = 300


async def test_a_broker_that_pauses_delays_no_answer_and_loses_no_exposure(
    broker: LocalBroker, kafka_config: KafkaConfig
) -> None:
    topic = kafka_config.topic(EVENTS.name)
    log = ExposureLog(
        lambda: AIOKafkaProducer(bootstrap_servers=kafka_config.bootstrap, acks="all", enable_idempotence=True),
        topic,
        wait_seconds=0.05,
        backlog=10 * COUNT,
    )
    await log.start()
    while not await log.write(b"u", b"first"):
        """The first acknowledgement may take longer than an answer waits."""
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):  # wall time of all answers while nothing is acknowledged: far below this
            safe = await asyncio.gather(*(log.write(b"u%d" % n, b"%d" % n + b"x" * 3000) for n in range(COUNT)))
        assert not any(safe)
        assert log.open >= COUNT
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    async with asyncio.timeout(90):
        while log.open:
            await asyncio.sleep(0.05)
    await log.stop(5.0)
    found: Counter[bytes] = Counter()
    consumer = make_consumer(kafka_config, [topic])
    try:
        ends = consumer.end_offsets(list(consumer.assignment()))
        while any(consumer.position(at) < end for at, end in ends.items()):
            for records in consumer.poll(timeout_ms=500).values():
                found.update(record.value.rstrip(b"x") for record in records)
    finally:
        consumer.close()
    assert {b"%d" % number for number in range(COUNT)} <= set(found)
    assert max(count for value, count in found.items() if value != b"first") == 1
