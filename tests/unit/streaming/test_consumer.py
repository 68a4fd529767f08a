"""What the consumer hands over after a rebalance, with Faust's side of it played."""

from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streaming.shell.consumer import ReleasedConsumer

INPUT, CHANGELOG = TP("events", 0), TP("changelog", 0)


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def nothing(*_: Any, **__: Any) -> dict[TP, int]:
        return {INPUT: 7}

    async def fetched(*_: Any) -> Any:
        record = SimpleNamespace(offset=11, key=b"", value=b"", timestamp=0, timestamp_type=0)
        return {INPUT: [record], CHANGELOG: [record]}, {INPUT, CHANGELOG}

    monkeypatch.setattr(driver.Consumer, "on_partitions_assigned", nothing)
    monkeypatch.setattr(driver.Consumer, "seek_to_committed", nothing)
    made: Any = object.__new__(ReleasedConsumer)
    made.app = SimpleNamespace(consumer_generation_id=1)
    made.confirmed, made.unsought, made.held, made._paused_partitions, made._buffered_partitions = (
        {},
        set(),
        set(),
        set(),
        set(),
    )
    made.flow_active = True
    monkeypatch.setattr(ReleasedConsumer, "should_stop", False)
    monkeypatch.setattr(ReleasedConsumer, "_wait_next_records", fetched)
    monkeypatch.setattr(ReleasedConsumer, "_is_changelog_tp", lambda _, tp: tp == CHANGELOG)
    return made


async def handed_over(consumer: Any) -> list[TP]:
    return [tp async for tp, _ in consumer.getmany(1.0)]


async def test_input_is_believed_once_it_has_been_sent_back_to_what_is_committed(consumer: Any) -> None:
    """Faust lets partitions flow after a recovery and only then seeks: what comes in between is from elsewhere."""
    await consumer.on_partitions_assigned({INPUT, CHANGELOG})
    consumer._paused_partitions = {INPUT}
    assert await handed_over(consumer) == [CHANGELOG]
    await consumer.seek_to_committed()  # in the middle of the rebalance; reading may still go on from there unheard
    consumer._paused_partitions = set()
    assert await handed_over(consumer) == [CHANGELOG]
    await consumer.seek_to_committed()
    assert await handed_over(consumer) == [INPUT, CHANGELOG]


async def test_what_the_broker_has_is_known_from_the_seek(consumer: Any) -> None:
    """So a worker that takes over knows how far its triggers are ahead of the commits before its own first one."""
    await consumer.seek_to_committed()
    assert consumer.confirmed == {INPUT: 7}
    assert not consumer._should_commit(INPUT, 7)
    assert consumer._should_commit(INPUT, 8)


async def test_a_partition_that_is_held_from_its_start_is_sent_back_all_the_same(consumer: Any) -> None:
    """Else nothing of it would ever be believed once it is let go."""
    await consumer.on_partitions_assigned({INPUT})
    consumer.held, consumer._paused_partitions = {INPUT}, {INPUT}
    await consumer.seek_to_committed()
    assert consumer.unsought == set()
