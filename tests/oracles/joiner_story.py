"""A joiner that is told events one by one: for tests that say what happens in words."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from springtide.contracts.codec import encode
from springtide.contracts.dead_letter import DeadLetter
from springtide.contracts.events import AnyEvent, Impression, Refund, Served, SlateFeatures, Tick
from springtide.contracts.samples import Sample
from springtide.contracts.topics import DEAD_LETTER, SAMPLES
from springtide.runtime.config import LabelsConfig
from streaming.config import JoinerConfig
from streaming.core import Core, Message, Record
from streaming.joiner.join import Joiner
from streaming.joiner.windows import Windows
from tests.oracles.streams import HOUR, LABELS, MINUTE

T0 = 1_700_000_000_000
DAY = 24 * HOUR
LATENESS = 5 * MINUTE


@dataclass
class Story:
    """A joiner that is told events one by one and triggers at every one of them."""

    joiner: Joiner = field(
        default_factory=lambda: Joiner(
            partition=0, windows=Windows.of(LABELS), config=JoinerConfig(trigger_records=1, outlier_run=3)
        )
    )
    sent: list[Message] = field(default_factory=list)
    table: dict[bytes, bytes] = field(default_factory=dict)
    offset: int = 0

    def tell(self, *events: AnyEvent | bytes) -> "Story":
        for event in events:
            value = event if isinstance(event, bytes) else encode(event)
            assert self.joiner.merge(Record(self.offset, b"u1", value))
            self.sent += self.joiner.collect()
            for write in self.joiner.settle(self.offset):
                if write.value is None:
                    del self.table[write.key]
                else:
                    self.table[write.key] = write.value
            self.offset += 1
            balanced(self.joiner)
        return self

    def until(self, time_ms: int) -> "Story":
        """Let the watermark reach a time, by ticks that are no outliers."""
        goal = time_ms + LATENESS
        while (now := self.joiner.newest_ms or goal) < goal - 12 * HOUR:
            self.tell(tick(now + 12 * HOUR))
        return self.tell(tick(goal))

    def rows(self, phase: str = "") -> list[Sample]:
        found = [msgspec.json.decode(m.value, type=Sample) for m in self.sent if m.topic == SAMPLES.name]
        return [row for row in found if phase in ("", row.phase)]

    def letters(self) -> list[DeadLetter]:
        return [msgspec.json.decode(m.value, type=DeadLetter) for m in self.sent if m.topic == DEAD_LETTER.name]

    def outcome(self, task: Any, name: str) -> int:
        return self.joiner.ledger.labels[task, name]


def served(request: str = "r1", time: int = T0, items: int = 3, **more: Any) -> Served:
    columns = [float(number) for number in range(items)]
    given: dict[str, Any] = {
        "event_id": f"{request}-s", "user_id": "u1", "producer": "t", "event_time_ms": time, "request_id": request,
        "experiment": "demo", "arm": "control", "model_version": "v", "policy": "greedy",
        "item_ids": [f"i{number}" for number in range(items)], "propensities": columns,
        "features": SlateFeatures(
            version=1, feature_time_ms=time, item={"price": columns}, item_category=["c"] * items
        ),
    }  # fmt: skip
    return Served(**(given | more))


def shown(request: str = "r1", time: int = T0, positions: tuple[int, ...] = (1, 2), name: str = "i") -> Impression:
    return Impression(
        event_id=f"{request}-{name}", user_id="u1", producer="t", event_time_ms=time, request_id=request,
        positions=list(positions),
    )  # fmt: skip


def label(kind: Any, time: int, item: str = "i0", request: str = "r1", name: str = "", **more: Any) -> AnyEvent:
    event_id = name or f"{kind.__name__}-{time}-{item}-{request}"
    event: AnyEvent = kind(
        event_id=event_id, user_id="u1", producer="t", event_time_ms=time, request_id=request, item_id=item, **more
    )
    return event


def tick(time: int, partition: int = 0) -> Tick:
    return Tick(event_id=f"t{time}", user_id="", producer="t", event_time_ms=time, partition=partition)


def refund(purchase_id: str, time: int, name: str = "") -> Refund:
    return Refund(
        event_id=name or f"refund-{purchase_id}", user_id="u1", producer="t", event_time_ms=time,
        purchase_id=purchase_id,
    )  # fmt: skip


def balanced(core: Core) -> None:
    """Hold the books: everything that came in is open, done or counted away."""
    assert isinstance(core, Joiner)
    assert core.ledger.slate_residual(core.book.open_slates) == 0
    assert core.ledger.impression_residual(core.book.open_impressions) == 0
    assert not any(core.ledger.label_residual(core.waiting()).values())
    assert core.ledger.refund_residual(core.book.strays.refunds) == 0


def make_joiner(labels: LabelsConfig = LABELS, **config: Any) -> Joiner:
    return Joiner(partition=0, windows=Windows.of(labels), config=JoinerConfig(**config))


def rows_of(messages: list[Message]) -> list[Sample]:
    return [msgspec.json.decode(m.value, type=Sample) for m in messages if m.topic == SAMPLES.name]
