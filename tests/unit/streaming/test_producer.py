"""Batches to the broker: in order, whole, and awaited."""

import asyncio
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from springtide.contracts.errors import ExitCode
from streaming.core import Message
from streaming.shell import producer as module
from streaming.shell.partitioning import partitions_of
from streaming.shell.producer import Outstanding, StrictProducer


class Batch:
    """Room for three records."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.closed = False

    def append(self, *, timestamp: None, key: bytes, value: bytes | None) -> object:
        if len(self.records) == 3:
            return None
        self.records.append((key, value))
        return object()

    def record_count(self) -> int:
        return len(self.records)

    def close(self) -> None:
        self.closed = True


class Client:
    """A broker that acknowledges when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, Batch, asyncio.Future[Any]]] = []

    def create_batch(self) -> Batch:
        return Batch()

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1}

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sent.append((topic, partition, batch, future))
        return future

    def acknowledge(self, base: int = 0) -> None:
        for topic, _, batch, future in self.sent:
            if not future.done():
                future.set_result(SimpleNamespace(topic=topic, offset=base))
            base += len(batch.records)


def make(client: Client) -> StrictProducer:
    producer = StrictProducer.__new__(StrictProducer)
    producer.outstanding = Outstanding()
    producer._ensure_producer = lambda: client
    return producer


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_records_go_out_in_order_in_full_batches_and_the_last_offset_comes_back() -> None:
    client = Client()
    producer = make(client)
    pairs = [(b"%d" % number, None if number == 3 else b"v") for number in range(7)]
    appending = asyncio.ensure_future(producer.append("changelog", 1, pairs))
    await turn()
    assert not appending.done()
    assert producer.outstanding.count == 3
    assert [record for _, _, batch, _ in client.sent for record in batch.records] == pairs
    assert [len(batch.records) for _, _, batch, _ in client.sent] == [3, 3, 1]
    assert client.sent[-1][2].closed
    client.acknowledge(base=100)
    assert await appending == 106
    await producer.flush()


async def test_messages_go_to_their_partitions_in_order_and_all_are_awaited() -> None:
    client = Client()
    producer = make(client)
    keys = [b"r%d" % number for number in range(20)]
    messages = [Message("samples", key, b"v" + key) for key in keys] + [Message("dead-letter", b"k", b"x", 0)]
    delivering = asyncio.ensure_future(producer.deliver(messages, "prefix-"))
    await turn()
    assert not delivering.done()
    by_partition: dict[tuple[str, int], list[bytes]] = {}
    for topic, partition, batch, _ in client.sent:
        by_partition.setdefault((topic, partition), []).extend(key for key, _ in batch.records)
    numbers = partitions_of(keys, [0, 1])
    for number in (0, 1):
        assert by_partition["prefix-samples", number] == [k for k, n in zip(keys, numbers, strict=True) if n == number]
    assert by_partition["prefix-dead-letter", 0] == [b"k"]
    client.acknowledge()
    await delivering


async def test_a_batch_that_is_not_delivered_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[ExitCode] = []

    def end(code: ExitCode, message: str) -> NoReturn:
        ended.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(module, "hard_exit", end)
    client = Client()
    producer = make(client)
    appending = asyncio.ensure_future(producer.append("changelog", 0, [(b"k", b"v")]))
    await turn()
    failed = client.sent[0][3]
    failed.remove_done_callback(producer._on_done)
    failed.set_exception(ConnectionError("gone"))
    with pytest.raises(SystemExit):
        producer._on_done(failed)
    assert ended == [ExitCode.DELIVERY]
    with pytest.raises(ConnectionError):
        await appending


async def test_breaking_off_leaves_the_batches_alone() -> None:
    client = Client()
    appending = asyncio.ensure_future(make(client).append("changelog", 0, [(b"k", b"v")]))
    await turn()
    appending.cancel()
    await turn()
    assert appending.cancelled()
    assert not client.sent[0][3].done()
