"""Bar 26: what faust-streaming 0.15.3 does wrong and this repository works round, each pinned.

A test here passes while Faust is wrong. One that fails says that an upgrade has mended it: read what it names in
docs/decisions/faust-upstream.md, and drop the work-round.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import faust
import pytest
from aiokafka import AIOKafkaProducer
from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import ProducerBuffer
from faust.types import TP

TP0 = TP("t", 0)
MENDED = "upstream has mended this; see docs/decisions/faust-upstream.md and drop the work-round"


def make_app(folder: Path, **more: Any) -> faust.App:
    return faust.App("upstream", broker="kafka://127.0.0.1:1", datadir=str(folder), autodiscover=False, **more)


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    return make_app(tmp_path)


@pytest.fixture
def consumer(app: faust.App) -> Any:
    return app.transport.create_consumer(
        AsyncMock(), on_partitions_revoked=AsyncMock(), on_partitions_assigned=AsyncMock()
    )


class SlowBuffer(ProducerBuffer):  # type: ignore[misc]
    """A buffer whose client is busy until `go` is set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.go, self.sent = asyncio.Event(), 0

    async def _send_pending(self, _fut: Any) -> None:
        await self.go.wait()
        self.sent += 1


@pytest.fixture
async def buffer(app: faust.App) -> AsyncIterator[SlowBuffer]:
    slow = SlowBuffer()
    slow.app = app
    await slow.start()
    yield slow
    slow.go.set()
    while slow.size:
        await asyncio.sleep(0)
    await slow.stop()


def test_the_version_is_the_one_that_was_examined() -> None:
    assert version("faust-streaming") == "0.15.3", "read docs/decisions/faust-upstream.md before an upgrade"


async def test_flush_gives_up_after_a_tenth_of_a_second(buffer: SlowBuffer) -> None:
    """So a commit may overtake what was to be sent before it. Work-round: StrictProducer."""
    for _ in range(5):
        buffer.put(Mock())
    await asyncio.wait_for(buffer.flush(), 5)
    assert buffer.sent == 0, MENDED


async def test_flush_does_not_know_of_a_message_between_queue_and_client(buffer: SlowBuffer) -> None:
    """Work-round: StrictProducer counts until the acknowledgement."""
    buffer.put(Mock())
    while buffer.size:
        await asyncio.sleep(0)
    await asyncio.wait_for(buffer.flush(), 0.05)
    assert buffer.sent == 0, MENDED


def test_the_producer_is_not_idempotent_at_least_once(app: faust.App) -> None:
    """So a batch that is sent again may come twice, or in another order. Work-round: StrictProducer."""
    producer = app.transport.create_producer()
    assert "enable_idempotence" not in producer._settings_extra(), MENDED
    assert inspect.signature(AIOKafkaProducer).parameters["enable_idempotence"].default is False, MENDED


@pytest.mark.parametrize(("committed", "acked", "commits"), [(10, [11], 12), (None, [5], 6), (0, [5], 6)])
def test_a_commit_jumps_over_an_event_that_is_not_acknowledged(
    consumer: Any, committed: int | None, acked: list[int], commits: int
) -> None:
    """Offset 10 (or everything up to 5) is not done, yet committed. Work-round: ReleasedConsumer."""
    consumer._committed_offset[TP0] = committed
    consumer._acked[TP0] = acked
    assert consumer._new_offset(TP0) == commits, MENDED


async def test_a_failed_commit_is_remembered_as_done(consumer: Any) -> None:
    """Work-round: ReleasedConsumer keeps what the broker has confirmed."""
    consumer._commit = AsyncMock(return_value=False)
    consumer.app.producer.flush = AsyncMock()
    consumer.assignment = lambda: {TP0}
    consumer._acked[TP0] = [1]
    consumer.app.topics.acks_enabled_for = lambda _topic: True
    await consumer._commit_offsets({TP0: 2})
    assert consumer._committed_offset[TP0] == 2, MENDED


async def test_an_exception_acknowledges_its_event(app: faust.App) -> None:
    """The event is lost, unless whoever handles it ends the process. Work-round: Job.run."""
    app.flow_control.resume()
    stream = app.stream(app.channel())
    stream.enable_acks = True
    await stream.maybe_start()
    message = SimpleNamespace(acked=False, refcount=1, tp=TP0, topic="t", partition=0, offset=5, generation_id=0)
    stream.channel.queue.put_nowait(Event(app, None, 1, {}, message))
    events = aiter(stream)
    await anext(events)
    with pytest.raises(ValueError, match="the handler fails"):
        await events.athrow(ValueError("the handler fails"))
    assert message.acked, MENDED


async def test_recovery_swallows_what_its_callback_raises(app: faust.App) -> None:
    """The worker says that it is ready, without what the callback was to build. Work-round: CoreRecovery."""
    table = app.Table("pending", partitions=1)

    @table.on_recover
    async def fails() -> None:
        raise ValueError("no heap")

    recovery = app.tables.recovery
    app.consumer = Mock(assignment=Mock(return_value=set()))
    app._fetcher = Mock(maybe_start=AsyncMock())
    app.consumer_generation_id = 1
    app._assignor = Mock(assigned_standbys=Mock(return_value={}))
    await recovery.on_recovery_completed(1)
    assert recovery.completed.is_set(), MENDED


def test_the_memory_store_loses_an_empty_value_after_a_deletion(app: faust.App) -> None:
    """Of one batch of recovery. Work-round: entries are never empty bytes, and stores.py is our own."""
    store = app.Table("pending", partitions=1).data
    changes = [
        SimpleNamespace(key=b"k", value=value, message=SimpleNamespace(value=value, partition=0))
        for value in (b"old", None, b"")
    ]
    store.apply_changelog_batch(changes, lambda key: key, lambda value: value)
    assert b"k" not in store, MENDED


def test_tables_cannot_be_written_outside_a_stream(app: faust.App) -> None:
    """So timers must come as records. Work-round: ticks are events."""
    table = app.Table("pending", partitions=1)
    with pytest.raises(TypeError, match="outside of stream iteration"):
        table["k"] = 1


def test_a_partition_without_a_commit_is_not_sought_after_a_rebalance() -> None:
    """What was fetched before the rebalance is thrown away and never read again. Work-round: seek_to_committed."""
    source = inspect.getsource(driver.AIOKafkaConsumerThread.seek_to_committed)
    assert "beginning" not in source, MENDED
    assert "earliest" not in source, MENDED


def test_nothing_bounds_how_long_a_send_may_take(app: faust.App) -> None:
    """A dead partition hides for twenty minutes. Work-round: streaming.request_timeout."""
    assert app.conf.producer_request_timeout == 1200.0, MENDED
