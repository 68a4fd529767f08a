"""The label joiner of one partition: records in, rows out at triggers. No clock, no Kafka, no Faust."""

from collections import Counter
from collections.abc import Iterable, Mapping
from sys import intern
from typing import Final

import msgspec

from springtide.contracts.dead_letter import Reason
from springtide.contracts.events import Cart, Click, Event, Impression, Label, Purchase, Refund, Tick
from springtide.contracts.tasks import Task
from springtide.runtime.settings import milliseconds
from streaming.config import JoinerConfig
from streaming.core import Message, Record, Write
from streaming.joiner.book import SlateBook, meta_key
from streaming.joiner.emitting import Emitter
from streaming.joiner.ledger import Ledger
from streaming.joiner.matching import Matcher, fact_of, hold
from streaming.joiner.outbox import Outbox
from streaming.joiner.plan import Plan
from streaming.joiner.served import AnyInput, Origins, ServedSlate, Shapes, input_decoder
from streaming.joiner.state import FORMAT, KEYS, PartitionMeta, Slate, Stray, meta_decoder
from streaming.joiner.windows import Windows
from streaming.state_format import check_format, check_keys, read_entry
from streaming.watermark import Watermark

NAMES: Final[dict[type[Event], str]] = {
    ServedSlate: "served",
    Impression: "impression",
    Click: "click",
    Cart: "cart",
    Purchase: "purchase",
    Refund: "refund",
    Tick: "tick",
}


class Joiner:
    """Joins one partition by the protocol of streaming/core.py, in the order of the methods.

    `restore`: what was due at the restored watermark is fired before anything new is merged, so that it is said from
    the very state of its trigger. `merge`: an event changes its slate by minimum and union, so that a repetition, a
    replay after a crash included, changes nothing. `collect`: at a trigger, which follows from the input alone, all
    that is due is said (emitting.py, step by step). `settle`: only when it is acknowledged, what it came to is written.

    Rules. A label at exactly its attribution window counts. What is due at a time is emitted once the watermark
    is beyond that time. Labels that come when their row is out make a `corrected` row if they still count. A
    label of an item that was not shown is matched to its slate, makes no row, and goes to the dead letters.
    """

    def __init__(self, *, partition: int, windows: Windows, config: JoinerConfig) -> None:
        self.partition = partition
        self.ledger = Ledger()
        self._windows, self._config, self._plan = windows, config, Plan(windows, config)
        self._trigger_every_ms = milliseconds(config.trigger_every)
        self._meta = PartitionMeta(-1, Watermark(), None, format=FORMAT)
        self.book = SlateBook(partition, self._plan, self._trigger_every_ms)
        self._outbox = Outbox(partition, self.ledger)
        parts = (self.book, self.ledger, self._outbox, windows)
        self.matcher = Matcher(*parts, config.labels_per_slate)
        self.emitter = Emitter(*parts, plan=self._plan, matcher=self.matcher, orphan_wait=config.orphan_wait)
        self._shapes, self._origins = Shapes(), Origins()
        self._reach_ms = windows.lateness_ms + self._plan.memory_ms
        """How far behind the newest event's time an event may lie and still be of use."""

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

    @property
    def pending_bytes(self) -> int:
        """Estimated bytes of everything that the partition keeps."""
        return self.book.pending_bytes

    @property
    def oldest_open_age_ms(self) -> int:
        """Age in event time of the oldest open slate, rounded up to `joiner.trigger_every`; 0 when none is open."""
        oldest = self.book.oldest_open_ms
        return 0 if oldest is None else max(0, (self.newest_ms or 0) - oldest)

    @property
    def over_budget(self) -> bool:
        """More is pending than `joiner.budget`: read no more until less is; nothing is ever thrown out."""
        return self.book.pending_bytes > self._config.budget

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over stored entries; then fire what was due already, before anything new is merged.

        Raises:
            FormatError: they are not of this version.
        """
        check_keys(entries, self.partition, KEYS)
        key = meta_key(self.partition)
        if key in entries:
            self._meta = read_entry(meta_decoder, key, entries[key])
            check_format(key, self._meta.format, FORMAT)
        self.book.load(entries)
        if self._meta.before_ms is not None:  # a refund that came later was not theirs
            self.emitter.forget(self._meta.before_ms)
        self.book.count_stock(self.ledger)
        self.matcher.rejoin_refunds()
        self._fire()

    def merge(self, record: Record) -> bool:
        """Take in one record; true when it is a trigger."""
        if record.offset <= self._meta.applied:
            self.ledger.replayed += 1
            return False
        try:
            self._take(input_decoder.decode(record.value), record)
        except msgspec.DecodeError as error:
            self._reject("undecodable", f"events: expected an event, got {error}; fix its producer", record)
        return self._is_trigger(record.offset)

    def collect(self) -> list[Message]:
        """Fire what is due, and give rows and dead letters."""
        self._fire()
        return self._outbox.take()

    def settle(self, offset: int) -> Iterable[Write]:
        """Give the changed entries, then the partition's own, then deletions."""
        self._meta.applied = offset
        self._meta.before_ms, self._meta.triggered_ms = self._meta.triggered_ms, self.watermark_ms
        return self.book.take_writes(self._meta)

    def waiting(self) -> Counter[Task]:
        """Count labels per task that wait for their slate, its impression, or credit."""
        return self.book.waiting()

    def _fire(self) -> None:
        if self.watermark_ms is not None:
            self.emitter.fire(self.watermark_ms)

    def _is_trigger(self, offset: int) -> bool:
        if offset % self._config.trigger_records == 0:
            return True
        newest, meta = self._meta.watermark.newest_ms, self._meta
        if newest is None:
            return False
        if meta.triggered_ms is None:
            meta.triggered_ms = newest - self._windows.lateness_ms
            return False
        return newest - self._windows.lateness_ms - meta.triggered_ms >= self._trigger_every_ms

    def _take(self, event: AnyInput, record: Record) -> None:
        """Let an event through if its columns, its partition and its time can be right, and merge it.

        Raises:
            msgspec.DecodeError: a column holds something else than numbers.
        """
        if isinstance(event, ServedSlate):
            problem = self._shapes.problem(event, record.value)
            if problem:
                self._reject("undecodable", f"served: {problem}; fix its producer", record)
            elif self._in_believable_time(event, record):
                self._take_served(event)
        elif isinstance(event, Tick) and event.partition != self.partition:
            detail = f"tick.partition: expected {self.partition}, got {event.partition}; send it to its partition"
            self._reject("wrong_partition", detail, record)
        elif self._in_believable_time(event, record):
            if isinstance(event, Impression):
                self._take_impression(event, record)
            elif isinstance(event, Label):
                self._take_label(event, record)
            elif isinstance(event, Refund):
                self.matcher.add_refund(event, record)

    def _in_believable_time(self, event: Event, record: Record) -> bool:
        """Refuse what lies too far ahead, and what is so old that its slate may be forgotten already."""
        watermark, time_ms = self._meta.watermark, event.event_time_ms
        believed = watermark.admit(time_ms, self._windows.max_advance_ms, self._config.outlier_run)
        if believed and time_ms >= (watermark.newest_ms or 0) - self._reach_ms:
            self.ledger.events[NAMES[type(event)]] += 1
            return True
        detail = f"event_time_ms: expected a time near {watermark.newest_ms}, got {time_ms}; mend the clock"
        self._reject("outlier_time", detail, record)
        return False

    def _take_served(self, event: ServedSlate) -> None:
        slate = self.book.open(event.request_id, event.user_id, event.event_time_ms)
        if slate.closed or slate.served_id == event.event_id:
            self.ledger.duplicates["served"] += 1
            return
        if slate.origin:  # one request served twice: the older one counts, whichever came first
            self.ledger.duplicates["served"] += 1
            if slate.stage or (slate.served_ms, slate.served_id) <= (event.event_time_ms, event.event_id):
                return
            self.book.count_done(slate)
        else:
            self.ledger.slates["in"] += 1
        self._fill(slate, event)
        self.book.count_open(slate)
        self.book.changed(slate)
        if slate.waiting:
            self.matcher.retry(slate)

    def _fill(self, slate: Slate, event: ServedSlate) -> None:
        """Lay down what was served as the bytes that rows are made of; equal texts are one object."""
        slate.user_id, slate.served_id, slate.served_ms = intern(event.user_id), event.event_id, event.event_time_ms
        slate.item_ids = tuple(map(intern, event.item_ids))
        slate.scores, slate.propensities = bytes(event.scores), bytes(event.propensities)
        slate.features = bytes(event.features)
        slate.origin = self._origins.of(event)

    def _take_impression(self, event: Impression, record: Record) -> None:
        slate = self.book.open(event.request_id, event.user_id, event.event_time_ms)
        if slate.closed or event.event_id in slate.impression_ids or (slate.waiting and slate.knows(event.event_id)):
            self.ledger.duplicates["impression"] += 1
            return
        self.matcher.add_impression(slate, event, record)

    def _take_label(self, event: Label, record: Record) -> None:
        fact = fact_of(event)
        self.ledger.labels[fact.task, "in"] += 1
        if event.request_id:
            self.matcher.add_label(self.book.open(event.request_id, event.user_id, fact.time_ms), fact, record)
        elif event.event_id in self.book.strays.by_id:
            self.matcher.count_duplicate(fact.task)
        else:
            self.book.strays.add(Stray(event.user_id, fact.time_ms, hold(fact.event_id, fact.task, record), fact))

    def _reject(self, reason: Reason, detail: str, record: Record) -> None:
        self._outbox.reject(reason, detail, record)
