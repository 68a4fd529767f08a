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
from streaming.state_format import FormatError


class FakeCore:
    """Every third offset is a trigger."""

    watermark_ms = newest_ms = None

    def __init__(self, partition: int, said: list[str]) -> None:
        self.partition, self.said, self.applied, self.over_budget = partition, said, -1, False

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        if entries.get(b"applied") == b"foreign":
            raise FormatError("of another version")
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
        return self.stored.pop(partition, {})

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
        self.app = SimpleNamespace(
            producer=self.broker, consumer=self.broker, record_times=Transport(), consumer_generation_id=1
        )
        self.job: Job[Any] = Job(spec, self.app, self.broker, KafkaConfig())
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


async def begun(stored: Mapping[int, dict[bytes, bytes]] | None = None) -> Rig:
    """Make a job whose recovery of partitions 0 and 1 has ended."""
    rig = Rig()
    rig.broker.stored.update(stored or {})
    await rig.job.begin([0, 1], 1)
    return rig


async def test_the_steps_of_a_trigger_in_order_and_each_awaited() -> None:
    rig = await begun()
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
    rig = await begun()
    rig.broker.rows[1].set()
    rig.broker.log[1].set()
    await rig.put(0, 0, 1, 2)
    await rig.put(1, 0, 1, 2, 3, 4, 5)
    assert rig.of(0)[-1] == "collect"
    assert rig.job.released == {1: 6}
    rig.task.cancel()


async def test_a_change_of_assignment_waits_for_the_trigger_and_drops_the_rest() -> None:
    rig = await begun()
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
    rig.app.consumer_generation_id, rig.broker.stored[0] = 2, {b"applied": b"2"}
    await rig.job.begin([0], 2)
    await rig.put(0, 3, 4, 5)
    assert rig.job.released == {0: 6}
    rig.task.cancel()


async def test_a_trigger_that_was_finished_is_released_without_another() -> None:
    """Its commit may have been lost with the process; nothing may come for long that makes a new trigger."""
    rig = await begun({0: {b"applied": b"2"}})
    await rig.put(0, 1)
    assert rig.job.released == {0: 3}
    rig.task.cancel()


async def test_every_assigned_partition_begins_when_recovery_is_complete_and_releases_nothing_yet() -> None:
    """No record may come for long; and Faust commits no partition of which it has handed over nothing."""
    rig = await begun({1: {b"applied": b"8"}})
    assert {partition: core.applied for partition, core in rig.job.cores.items()} == {0: -1, 1: 8}
    assert rig.job.recovered
    assert (rig.job.released, rig.job.taken) == ({}, {})
    assert rig.job.recovery_seconds is not None
    rig.task.cancel()


@pytest.mark.parametrize("begins", ["before the loss", "between loss and assignment", "after the next assignment"])
async def test_a_recovery_that_a_rebalance_has_overtaken_begins_nothing(begins: str) -> None:
    """Faust's end of a recovery may come when the store holds already what the next recovery reads."""
    rig = Rig()
    if begins == "before the loss":
        beginning = asyncio.ensure_future(rig.job.begin([0, 1], 1))
        await asyncio.sleep(0)
        assert set(rig.job.cores) == {0}
    await rig.job.forget()
    rig.broker.stored[1] = {b"applied": b"5"}
    if begins == "before the loss":
        await beginning
    elif begins == "between loss and assignment":
        await rig.job.begin([0, 1], 1)
    else:
        rig.app.consumer_generation_id = 2
        await rig.job.begin([0, 1], 1)
    assert (rig.job.cores, rig.job.recovered, rig.broker.stored) == ({}, False, {1: {b"applied": b"5"}})
    rig.app.consumer_generation_id = 2
    await rig.job.begin([1], 2)
    assert rig.job.cores[1].applied == 5
    assert rig.job.recovered
    rig.task.cancel()


@pytest.mark.parametrize("wrong", ["format", "state", "record"])
async def test_without_its_state_nothing_goes_on(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that cannot be restored ends the process, and so does a record of a partition that was not recovered."""

    class EndError(Exception):
        pass

    def end(code: ExitCode, message: str) -> None:
        told.append(message)
        ended.append(code)
        raise EndError

    ended: list[ExitCode] = []
    told: list[str] = []
    monkeypatch.setattr(module, "hard_exit", end)
    rig = Rig()
    if wrong == "format":
        rig.broker.stored[0] = {b"applied": b"foreign"}
        with pytest.raises(EndError):
            await rig.job.begin([0], 1)
        assert ended == [ExitCode.CHANGELOG_FORMAT]
        assert told == ["changelog/0: of another version"]
    elif wrong == "state":
        rig.broker.stored[0] = {b"applied": b"none"}
        with pytest.raises(EndError):
            await rig.job.begin([0], 1)
        assert not rig.job.recovered
        assert ended == [ExitCode.INTERNAL]
    else:
        await rig.job.begin([1], 1)
        await rig.put(0, 0)
        assert ended[0] == ExitCode.RECOVERY
    rig.task.cancel()


async def test_a_partition_over_its_budget_is_held_until_it_is_not() -> None:
    rig = await begun()
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
    rig = await begun()
    await rig.put(0, 0, 3)
    assert ended == ([ExitCode.RECOVERY] if ends else [])
    rig.task.cancel()
