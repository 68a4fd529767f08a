"""The shell around a core, with a broker that acknowledges when it is told to."""

import asyncio
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from springtide.contracts.errors import ExitCode
from springtide.runtime.config import KafkaConfig
from streaming.core import Message, Record, Write
from streaming.shell import job as module
from streaming.shell.job import Job, JobSpec
from streaming.shell.record_batch import RecordBatch
from streaming.shell.transport import Transport


class FakeCore:
    """Every third offset is a trigger."""

    watermark_ms = newest_ms = None

    def __init__(self, partition: int, said: list[str]) -> None:
        self.partition, self.said, self.applied, self.over_budget = partition, said, -1, False

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        self.applied = int(entries.get(b"applied", b"-1"))

    def merge(self, record: Record) -> bool:
        self.said.append(f"{self.partition}: merge {record.offset}")
        return record.offset % 3 == 2

    def collect(self) -> list[Message]:
        self.said.append(f"{self.partition}: collect")
        return [Message("rows", b"k", b"%d" % self.partition)]

    def settle(self, offset: int) -> Iterable[Write]:
        self.said.append(f"{self.partition}: settle {offset}")
        return [Write(b"k", b"v"), Write(b"gone", None)]


class FakeBroker:
    """Producer, consumer and table in one; `rows[partition]` and `log[partition]` are the acknowledgements."""

    changelog_topic_name = "changelog"

    def __init__(self, said: list[str]) -> None:
        self.said, self.data, self.held = said, self, set[TP]()
        self.rows = {number: asyncio.Event() for number in (0, 1)}
        self.log = {number: asyncio.Event() for number in (0, 1)}
        self.stored: dict[int, dict[bytes, bytes]] = {}

    async def deliver(self, messages: list[Message], prefix: str) -> None:
        partition = int(messages[0].value)
        await self.rows[partition].wait()
        self.said.append(f"{partition}: rows acknowledged")

    async def append(self, topic: str, partition: int, pairs: list[tuple[bytes, bytes | None]]) -> int:
        await self.log[partition].wait()
        self.said.append(f"{partition}: changelog acknowledged")
        return 41

    def written(self, partition: int, pairs: list[tuple[bytes, bytes | None]], last: int) -> None:
        self.said.append(f"{partition}: stored up to {last}")

    def take(self, partition: int) -> dict[bytes, bytes]:
        return self.stored.get(partition, {})

    def hold(self, tp: TP) -> None:
        self.held.add(tp)

    def let_go(self, tp: TP) -> None:
        self.held.discard(tp)


class Rig:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.broker = FakeBroker(self.said)
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        spec: Any = JobSpec(
            name="job", topic="events", make=lambda number: FakeCore(number, self.said), after_trigger=lambda *_: None
        )
        app = SimpleNamespace(producer=self.broker, consumer=self.broker, record_times=Transport())
        self.job: Job[Any] = Job(spec, app, self.broker, KafkaConfig())
        self.job.recovered = True
        self.task = asyncio.ensure_future(self.job.run(self))

    async def events(self) -> Any:
        while True:
            yield SimpleNamespace(message=await self.queue.get())

    async def put(self, partition: int, *offsets: int) -> None:
        records = [
            SimpleNamespace(offset=offset, key=None, value=b"", timestamp=0, timestamp_type=0) for offset in offsets
        ]
        await self.queue.put(RecordBatch(TP("events", partition), records, 1))
        await self.turn()

    @staticmethod
    async def turn() -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    def of(self, partition: int) -> list[str]:
        return [text[3:] for text in self.said if text.startswith(f"{partition}: ")]


async def test_the_steps_of_a_trigger_in_order_and_each_awaited() -> None:
    rig = Rig()
    await rig.put(0, 0, 1, 2, 3)
    merged = ["merge 0", "merge 1", "merge 2", "collect"]
    assert rig.of(0) == merged
    rig.broker.rows[0].set()
    await rig.turn()
    assert rig.of(0) == [*merged, "rows acknowledged", "settle 2"]
    assert rig.job.released == {}
    rig.broker.log[0].set()
    await rig.turn()
    assert rig.of(0)[6:] == ["changelog acknowledged", "stored up to 41", "merge 3"]
    assert rig.job.released == {0: 3}
    assert rig.job.taken == {0: 3}
    rig.task.cancel()


async def test_one_partition_goes_on_while_another_waits() -> None:
    rig = Rig()
    rig.broker.rows[1].set()
    rig.broker.log[1].set()
    await rig.put(0, 0, 1, 2)
    await rig.put(1, 0, 1, 2, 3, 4, 5)
    assert rig.of(0)[-1] == "collect"
    assert rig.job.released == {1: 6}
    rig.task.cancel()


async def test_a_change_of_assignment_waits_for_the_trigger_and_drops_the_rest() -> None:
    rig = Rig()
    rig.broker.rows[0].set()
    await rig.put(0, 0, 1, 2, 3, 4, 5)
    await rig.put(0, 6, 7, 8)
    forgetting = asyncio.ensure_future(rig.job.forget())
    await rig.turn()
    assert not forgetting.done()
    rig.broker.log[0].set()
    await forgetting
    await rig.turn()
    assert "stored up to 41" in rig.of(0)
    assert "settle 5" not in rig.of(0)
    assert "merge 6" not in rig.of(0)
    assert (rig.job.cores, rig.job.released, rig.job.taken, rig.job.recovered) == ({}, {}, {}, False)
    rig.job.recovered, rig.broker.stored[0] = True, {b"applied": b"2"}
    await rig.put(0, 3, 4, 5)
    assert rig.job.released == {0: 6}
    rig.task.cancel()


async def test_a_trigger_that_was_finished_is_released_without_another() -> None:
    """Its commit may have been lost with the process; nothing may come for long that makes a new trigger."""
    rig = Rig()
    rig.broker.stored[0] = {b"applied": b"2"}
    await rig.put(0, 1)
    assert rig.job.released == {0: 3}
    rig.task.cancel()


async def test_a_partition_over_its_budget_is_held_until_it_is_not() -> None:
    rig = Rig()
    await rig.put(0, 0)
    rig.job.cores[0].over_budget = True
    await rig.put(0, 1)
    assert rig.broker.held == {TP("events", 0)}
    assert rig.job.over_budget() == [0]
    rig.job.cores[0].over_budget = False
    rig.job.heed_budget()
    assert rig.broker.held == set()
    rig.task.cancel()


@pytest.mark.parametrize(("there", "ends"), [(1, True), (3, False)])
async def test_records_that_were_left_out_end_the_process(
    there: int, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[ExitCode] = []

    async def next_offset(*_: Any) -> int:
        return there

    monkeypatch.setattr(module, "next_offset", next_offset)
    monkeypatch.setattr(module, "hard_exit", lambda code, message: ended.append(code))
    rig = Rig()
    await rig.put(0, 0, 3)
    assert ended == ([ExitCode.RECOVERY] if ends else [])
    rig.task.cancel()
