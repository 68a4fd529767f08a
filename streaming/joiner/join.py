"""The label joiner of one partition: records in, rows out at triggers. No clock, no Kafka, no Faust."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from springtide.contracts.codec import event_decoder
from springtide.contracts.dead_letter import Reason
from springtide.contracts.events import AnyEvent, Impression, Label, Purchase, Served, Tick
from springtide.contracts.tasks import Task
from springtide.runtime.settings import milliseconds
from streaming.config import JoinerConfig
from streaming.core import Message, Record, Write
from streaming.joiner.book import SlateBook
from streaming.joiner.emitting import Emitter
from streaming.joiner.ledger import Ledger
from streaming.joiner.matching import Matcher
from streaming.joiner.outbox import Outbox
from streaming.joiner.plan import Plan
from streaming.joiner.rows import column_problem
from streaming.joiner.state import Held, LabelFact, PartitionMeta, Touch, meta_decoder, meta_key
from streaming.joiner.windows import Windows
from streaming.watermark import Watermark

TASK_OF: Final[dict[str, Task]] = {"Click": "click", "Cart": "cart", "Purchase": "purchase"}


class Joiner:
    """Joins one partition; see streaming/core.py for the protocol.

    Rules. A label at exactly its attribution window counts. What is due at a time is emitted once the watermark
    is beyond that time. Labels that come when their row is out make a `corrected` row if they still count. A
    label of an item that was not shown is matched to its slate, makes no row, and goes to the dead letters.
    """

    def __init__(self, *, partition: int, windows: Windows, config: JoinerConfig) -> None:
        self.partition = partition
        self.ledger = Ledger()
        self._windows, self._config, self._plan = windows, config, Plan(windows, config)
        self._trigger_every_ms = milliseconds(config.trigger_every)
        self._meta = PartitionMeta(-1, Watermark(), None)
        self.book = SlateBook(partition, self._plan)
        self._outbox = Outbox(partition, self.ledger)
        parts = (self.book, self.ledger, self._outbox, windows)
        self.matcher = Matcher(*parts, config.labels_per_slate)
        self.emitter = Emitter(*parts, matcher=self.matcher, orphan_wait=config.orphan_wait)

    @property
    def applied(self) -> int:
        """Offset of the last completed trigger, -1 before the first."""
        return self._meta.applied

    @property
    def watermark_ms(self) -> int | None:
        """The partition's watermark."""
        return self._meta.watermark.value(self._windows.lateness_ms)

    @property
    def newest_ms(self) -> int | None:
        """Newest event time believed."""
        return self._meta.watermark.newest_ms

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over stored entries, and do again what the interrupted trigger may not have tidied away."""
        meta = entries.get(meta_key(self.partition))
        if meta is not None:
            self._meta = meta_decoder.decode(meta)
        self.book.load(entries)
        self.book.count_stock(self.ledger)
        self._fire()

    def merge(self, record: Record) -> bool:
        """Take in one record; true when it is a trigger."""
        if record.offset <= self._meta.applied:
            self.ledger.replayed += 1
            return False
        try:
            event = event_decoder.decode(record.value)
        except msgspec.DecodeError as error:
            self._reject("undecodable", f"events: expected an event, got {error}; fix its producer", record)
        else:
            self._take(event, record)
        return self._is_trigger(record.offset)

    def collect(self) -> list[Message]:
        """Fire what is due, and give rows and dead letters."""
        self._fire()
        return self._outbox.take()

    def settle(self, offset: int) -> Iterable[Write]:
        """Give the changed entries, then the partition's own, then deletions."""
        self._meta.applied = offset
        self._meta.triggered_ms = self.watermark_ms
        return self.book.take_writes(self._meta)

    def _fire(self) -> None:
        if self.watermark_ms is not None:
            self.emitter.fire(self.watermark_ms)

    def waiting(self) -> Counter[Task]:
        """Count labels per task that wait for their slate, its impression, or credit."""
        return self.book.waiting()

    def _is_trigger(self, offset: int) -> bool:
        if offset % self._config.trigger_records == 0:
            return True
        now, last = self.watermark_ms, self._meta.triggered_ms
        if now is None:
            return False
        if last is None:
            self._meta.triggered_ms = now
            return False
        return now - last >= self._trigger_every_ms

    def _take(self, event: AnyEvent, record: Record) -> None:
        if isinstance(event, Tick) and event.partition != self.partition:
            detail = f"tick.partition: expected {self.partition}, got {event.partition}; send it to its partition"
            self._reject("wrong_partition", detail, record)
            return
        if not self._in_believable_time(event.event_time_ms):
            newest = self._meta.watermark.newest_ms
            detail = f"event_time_ms: expected a time near {newest}, got {event.event_time_ms}; mend the clock"
            self._reject("outlier_time", detail, record)
            return
        self.ledger.events[type(event).__name__.lower()] += 1
        held = Held(record.offset, record.key, record.value)
        if isinstance(event, Served):
            self._take_served(event, record)
        elif isinstance(event, Impression):
            self._take_impression(event, held)
        elif isinstance(event, Label):
            self._take_label(event, held)

    def _in_believable_time(self, event_time_ms: int) -> bool:
        """Refuse what lies too far ahead, and what is so old that its slate may be forgotten already."""
        believed = self._meta.watermark.admit(event_time_ms, self._windows.max_advance_ms, self._config.outlier_run)
        return believed and event_time_ms >= self._plan.oldest_ms(self.watermark_ms or event_time_ms)

    def _take_served(self, event: Served, record: Record) -> None:
        problem = column_problem(event)
        if problem:
            self._reject("undecodable", f"served: {problem}; fix its producer", record)
            return
        slate = self.book.open(event.request_id, event.user_id, event.event_time_ms)
        if slate.final or slate.served_id == event.event_id:
            self.ledger.duplicates["served"] += 1
            return
        if slate.served_id:  # one request served twice: the older one counts, whichever came first
            self.ledger.duplicates["served"] += 1
            if slate.observed or (slate.served_ms, slate.served_id) <= (event.event_time_ms, event.event_id):
                return
        else:
            self.ledger.slates["in"] += 1
            self.book.open_slates += 1
        slate.served, slate.served_id, slate.served_ms = record.value, event.event_id, event.event_time_ms
        slate.user_id, slate.item_ids = event.user_id, tuple(event.item_ids)
        self.matcher.note_change(slate)

    def _take_impression(self, event: Impression, held: Held) -> None:
        slate = self.book.open(event.request_id, event.user_id, event.event_time_ms)
        if slate.final or event.event_id in slate.impression_ids:
            self.ledger.duplicates["impression"] += 1
            return
        slate.impression_ids = [*slate.impression_ids, event.event_id]
        slate.positions = sorted({*slate.positions, *event.positions})
        seen = slate.impression_ms
        slate.impression_ms = event.event_time_ms if seen is None else min(seen, event.event_time_ms)
        slate.held[event.event_id] = held
        self.matcher.note_change(slate)

    def _take_label(self, event: Label, held: Held) -> None:
        task = TASK_OF[type(event).__name__]
        revenue = event.price * event.quantity if isinstance(event, Purchase) else 0.0
        fact = LabelFact(task, event.item_id, event.event_time_ms, revenue)
        self.ledger.labels[task, "in"] += 1
        if event.request_id:
            slate = self.book.open(event.request_id, event.user_id, fact.time_ms)
            self.matcher.add_label(slate, event.event_id, fact, held)
        elif event.event_id in self.book.touches:
            self.matcher.count_duplicate(task)
        else:
            self.book.add_touch(event.event_id, Touch(event.user_id, fact, held))

    def _reject(self, reason: Reason, detail: str, record: Record) -> None:
        self._outbox.reject(reason, detail, Held(record.offset, record.key, record.value))
