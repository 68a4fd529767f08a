"""A producer that sends in batches, whose failures end the process and whose flush is one."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver

from springtide.contracts.errors import ExitCode
from streaming.core import Message
from streaming.shell.failpoints import reach
from streaming.shell.hard_exit import hard_exit
from streaming.shell.partitioning import partitions_of

Pair = tuple[bytes, bytes | None]
"""Key and value of a record; no value deletes the key from a compacted topic."""


class Outstanding:
    """What was handed over and is not yet acknowledged."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    def add(self) -> None:
        """Count one more."""
        self.count += 1
        self._none.clear()

    def remove(self) -> None:
        """Count one less."""
        self.count -= 1
        if self.count == 0:
            self._none.set()

    async def wait_for_none(self) -> None:
        """Wait until there is none."""
        await self._none.wait()


class StrictProducer(driver.Producer):  # type: ignore[misc]
    """A producer that loses nothing silently.

    aiokafka takes 30 to 60 µs for each message sent alone: a future, a callback, a walk through the event loop. A
    batch costs that once.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.outstanding = Outstanding()

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send(self, *arguments: Any, **more: Any) -> Any:
        """Hand one message over; its failure ends the process."""
        return self._watch(await super().send(*arguments, **more))

    async def deliver(self, messages: Iterable[Message], prefix: str) -> None:
        """Send messages, in order within each partition, and wait until the broker has them all."""
        reach("collected")
        by_topic: defaultdict[str, list[Message]] = defaultdict(list)
        for message in messages:
            by_topic[message.topic].append(message)
        groups: defaultdict[tuple[str, int], list[Pair]] = defaultdict(list)
        for topic, of_topic in by_topic.items():
            numbers = sorted(await self._ensure_producer().partitions_for(prefix + topic))
            hashed = iter(partitions_of([message.key for message in of_topic if message.partition is None], numbers))
            for message in of_topic:
                number = next(hashed) if message.partition is None else message.partition
                groups[prefix + topic, number].append((message.key, message.value))
        await asyncio.gather(*(self.append(topic, number, pairs) for (topic, number), pairs in groups.items()))

    async def append(self, topic: str, partition: int, pairs: Sequence[Pair]) -> int:
        """Append records to one partition, in order, and wait until the broker has them; gives the last offset."""
        client, futures = self._ensure_producer(), []
        batch = client.create_batch()
        for key, value in pairs:
            if batch.append(timestamp=None, key=key, value=value) is None:
                futures.append(await self._submit(batch, topic, partition))
                batch = client.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        size = batch.record_count()
        batch.close()  # or aiokafka might add others to it
        futures.append(await self._submit(batch, topic, partition))
        await asyncio.wait(futures)  # unlike gather it leaves them alone when it is broken off
        last: int = futures[-1].result().offset + size - 1
        return last

    async def _submit(self, batch: Any, topic: str, partition: int) -> Any:
        try:
            return self._watch(await self._ensure_producer().send_batch(batch, topic, partition=partition))
        except KafkaError as error:
            hard_exit(ExitCode.DELIVERY, f"{topic}/{partition}: expected to hand a batch over, got {error!r}")

    def _watch(self, future: Any) -> Any:
        self.outstanding.add()
        future.add_done_callback(self._on_done)
        return future

    def _on_done(self, future: Any) -> None:
        if future.cancelled() or future.exception() is not None:
            reason = "cancelled" if future.cancelled() else repr(future.exception())
            hard_exit(ExitCode.DELIVERY, f"kafka: expected a message to be acknowledged, got {reason}")
        self.outstanding.remove()
        reach(f"{'changelog' if future.result().topic.endswith('-changelog') else 'row'}-batch-acknowledged")

    async def flush(self) -> None:
        """Wait until everything handed over is acknowledged by the broker."""
        await self.outstanding.wait_for_none()
