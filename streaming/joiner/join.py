"""The label joiner of one partition: records in, rows out at triggers. No clock, no Kafka, no Faust."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from springtide.contracts.codec import encode, event_decoder
from springtide.contracts.dead_letter import DeadLetter, Reason
from springtide.contracts.events import AnyEvent, Impression, Label, Purchase, Served, Tick
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import Task
from springtide.contracts.topics import DEAD_LETTER, EVENTS, SAMPLES
from springtide.runtime.settings import milliseconds
from streaming.config import JoinerConfig
from streaming.core import Message, Record, Write
from streaming.joiner.book import SlateBook
from streaming.joiner.ledger import Ledger
from streaming.joiner.rows import column_problem, corrected_row, earliest, full_row, read_served
from streaming.joiner.state import Held, LabelFact, PartitionMeta, Slate, Touch, meta_decoder, meta_key
from streaming.joiner.timers import Due, Timer
from streaming.joiner.windows import Windows
from streaming.watermark import Watermark

TASK_OF: dict[str, Task] = {"Click": "click", "Cart": "cart", "Purchase": "purchase"}


class Joiner:
    """Joins one partition; see streaming/core.py for the protocol.

    Rules. A label at exactly its attribution window counts. What is due at a time is emitted once the watermark
    is beyond that time. Labels that come when their row is out make a `corrected` row if they still count. A
    label of an item that was not shown is matched to its slate, makes no row, and goes to the dead letters.
    """

    def __init__(self, *, partition: int, windows: Windows, config: JoinerConfig) -> None:
        self.partition = partition
        self.ledger = Ledger()
        self._windows, self._config = windows, config
        self._remember_ms = milliseconds(config.remember)
        self._orphan_wait_ms = milliseconds(config.orphan_wait)
        self._trigger_every_ms = milliseconds(config.trigger_every)
        self._meta = PartitionMeta(-1, Watermark(), None)
        self.book = SlateBook(partition)
        self._outbox: list[Message] = []
        self.delays: list[tuple[Task, int]] = []
        """Label delays since last read, for a histogram; the shell empties it."""
        self.waits: list[tuple[str, int]] = []
        """Per emitted row its phase and watermark minus due time; the shell empties it."""

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
        for slate in self.book.load(entries):
            self._schedule(slate)
        for event_id, touch in self.book.touches.items():
            self.book.timers.add(Timer(touch.fact.time_ms, Due.CREDIT, event_id))
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
        messages, self._outbox = self._outbox, []
        return messages

    def settle(self, offset: int) -> Iterable[Write]:
        """Give the changed entries, then the partition's own, then deletions."""
        self._meta.applied = offset
        self._meta.triggered_ms = self.watermark_ms
        return self.book.take_writes(self._meta)

    def waiting(self) -> Counter[Task]:
        """Count labels per task that wait for their slate, its impression, or credit."""
        return self.book.waiting()

    # ------------------------------------------------------------------ events in

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
        oldest = (self.watermark_ms or 0) - self._windows.final_age_ms - self._remember_ms
        return believed and event_time_ms >= oldest

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
        self._changed(slate)

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
        self._changed(slate)

    def _take_label(self, event: Label, held: Held) -> None:
        task = TASK_OF[type(event).__name__]
        revenue = event.price * event.quantity if isinstance(event, Purchase) else 0.0
        fact = LabelFact(task, event.item_id, event.event_time_ms, revenue)
        self.ledger.labels[task, "in"] += 1
        if event.request_id:
            self._add_label(self.book.open(event.request_id, event.user_id, fact.time_ms), event.event_id, fact, held)
        elif event.event_id in self.book.touches:
            self._count_duplicate(task)
        else:
            self.book.add_touch(event.event_id, Touch(event.user_id, fact, held))
            self.book.timers.add(Timer(fact.time_ms, Due.CREDIT, event.event_id))

    def _add_label(self, slate: Slate, event_id: str, fact: LabelFact, held: Held) -> None:
        if event_id in slate.labels:
            self._count_duplicate(fact.task)
        elif slate.final:
            self.ledger.labels[fact.task, "late"] += 1
        elif not slate.complete:
            slate.labels[event_id] = fact
            slate.held[event_id] = held
            self._changed(slate)
        else:
            self._match(slate, event_id, fact, held)
            self._changed(slate)

    def _count_duplicate(self, task: Task) -> None:
        self.ledger.labels[task, "duplicate"] += 1
        self.ledger.duplicates[task] += 1

    def _match(self, slate: Slate, event_id: str, fact: LabelFact, held: Held) -> None:
        """Give a label of a complete slate its outcome, and keep it if anything may still need it."""
        if not slate.shows(fact.item_id):
            self.ledger.labels[fact.task, "matched"] += 1
            slate.labels.pop(event_id, None)
            detail = f"item_id: expected one of the slate's shown items, got {fact.item_id!r}; fix its producer"
            self._reject_held("unknown_position", detail, held)
            return
        delay = slate.delay_ms(fact)
        late = delay > self._windows.attribution_ms[fact.task]
        self.ledger.labels[fact.task, "late" if late else "matched"] += 1
        if not late:
            self.delays.append((fact.task, delay))
        if fact.task == "click" or not late:
            if len(slate.labels) < self._config.labels_per_slate or self._is_news(slate, fact):
                slate.labels[event_id] = fact
        else:
            slate.labels.pop(event_id, None)
        if fact.task == "click" and event_id in slate.labels:
            self.book.index_click(slate, fact)

    def _is_news(self, slate: Slate, fact: LabelFact) -> bool:
        known = earliest(slate, fact.task, fact.item_id, self._windows.final_age_ms, self._windows)
        return known is None or fact.time_ms < known.time_ms

    def _changed(self, slate: Slate) -> None:
        """After any event: complete it if it now is, note the change, and set its timers."""
        if slate.complete and slate.held:
            held, slate.held = slate.held, {}
            for event_id in slate.impression_ids:
                self._check_positions(slate, held.get(event_id))
            for event_id in [event_id for event_id in slate.labels if event_id in held]:
                self._match(slate, event_id, slate.labels.pop(event_id), held[event_id])
        self.book.changed(slate)
        self._schedule(slate)

    def _check_positions(self, slate: Slate, held: Held | None) -> None:
        wrong = [position for position in slate.positions if not 1 <= position <= len(slate.item_ids)]
        if held is not None and wrong:
            slate.positions = [position for position in slate.positions if position not in wrong]
            detail = f"positions: expected 1 to {len(slate.item_ids)}, got {wrong}; fix its producer"
            self._reject_held("unknown_position", detail, held)

    def _reject(self, reason: Reason, detail: str, record: Record) -> None:
        self._reject_held(reason, detail, Held(record.offset, record.key, record.value))

    def _reject_held(self, reason: Reason, detail: str, held: Held) -> None:
        self.ledger.dead_letters[reason] += 1
        letter = DeadLetter(
            reason=reason, detail=detail, topic=EVENTS.name, partition=self.partition, offset=held.offset,
            key=held.key, value=held.value,
        )  # fmt: skip
        self._outbox.append(Message(DEAD_LETTER.name, held.key, encode(letter)))

    # ------------------------------------------------------------------ what falls due

    def _schedule(self, slate: Slate) -> None:
        """Set the slate's timers from its state."""
        add, windows = self.book.timers.add, self._windows
        if slate.final:
            add(Timer(self._final_due(slate) + self._remember_ms, Due.FORGET, slate.request_id))
            return
        if not slate.complete:
            add(Timer(slate.first_ms + self._orphan_wait_ms, Due.EXPIRE, slate.request_id))
            return
        if not slate.observed:
            add(Timer(self._observed_due(slate), Due.OBSERVED, slate.request_id))
        add(Timer(self._final_due(slate), Due.FINAL, slate.request_id))
        for fact in slate.labels.values():
            name, delay = f"{fact.task}:{fact.item_id}", slate.delay_ms(fact)
            in_time = windows.counts(fact.task, delay, windows.final_age_ms)
            if in_time and name not in slate.told and (slate.observed or delay > windows.observed_age_ms):
                add(Timer(fact.time_ms, Due.CORRECTED, slate.request_id, name))

    def _observed_due(self, slate: Slate) -> int:
        return (slate.impression_ms or 0) + self._windows.observed_age_ms

    def _final_due(self, slate: Slate) -> int:
        return (slate.impression_ms or 0) + self._windows.final_age_ms

    def _fire(self) -> None:
        watermark = self.watermark_ms
        if watermark is None:
            return
        while (timer := self.book.timers.pop_due(watermark)) is not None:
            if timer.kind is Due.CREDIT:
                self._credit(timer.subject)
            elif (slate := self.book.slates.get(timer.subject)) is not None:
                self._fire_slate(slate, timer)

    def _fire_slate(self, slate: Slate, timer: Timer) -> None:
        kind = timer.kind
        if kind is Due.FORGET and slate.final:
            self.book.forget(slate)
        elif kind is Due.EXPIRE and not slate.complete and not slate.final:
            self._expire(slate)
        elif slate.complete and not slate.final:
            if kind is Due.OBSERVED and not slate.observed:
                self._emit_observed(slate, timer.due_ms)
            elif kind is Due.CORRECTED and slate.observed:
                self._emit_corrected(slate, timer)
            elif kind is Due.FINAL:
                self._emit_final(slate, timer.due_ms)

    def _emit_observed(self, slate: Slate, due_ms: int) -> None:
        row = full_row(slate, read_served(slate), "observed", self._windows.observed_age_ms, self._windows)
        told = [
            f"{task}:{item_id}"
            for task, column in row.labels.items()
            for item_id, label in zip(row.item_ids, column, strict=True)
            if label
        ]
        slate.observed, slate.told = True, told
        self.book.changed(slate)
        self._emit(row, due_ms)

    def _emit_corrected(self, slate: Slate, timer: Timer) -> None:
        task_name, _, item_id = timer.detail.partition(":")
        task = TASK_OF[task_name.capitalize()]
        fact = earliest(slate, task, item_id, self._windows.final_age_ms, self._windows)
        if fact is None or timer.detail in slate.told:
            return
        slate.told = [*slate.told, timer.detail]
        self.book.changed(slate)
        self._emit(corrected_row(slate, read_served(slate), fact, self._windows), timer.due_ms)

    def _emit_final(self, slate: Slate, due_ms: int) -> None:
        self._emit(full_row(slate, read_served(slate), "final", self._windows.final_age_ms, self._windows), due_ms)
        self.ledger.slates["final"] += 1
        self.book.finish(slate)
        self._schedule(slate)

    def _emit(self, row: Sample, due_ms: int) -> None:
        self.ledger.rows[row.phase] += 1
        self.waits.append((row.phase, (self.watermark_ms or due_ms) - due_ms))
        self._outbox.append(Message(SAMPLES.name, row.request_id.encode(), encode(row)))

    def _expire(self, slate: Slate) -> None:
        """Give up a slate without impression, or events without a slate."""
        missing = "an impression of its slate" if slate.served_id else "its slate"
        for event_id, held in slate.held.items():
            fact = slate.labels.get(event_id)
            reason: Reason = "orphan_expired"
            if fact is not None:
                self.ledger.labels[fact.task, "orphan_expired"] += 1
            elif not slate.served_id:
                reason = "impression_without_served"
            detail = f"request_id: expected {missing} within {self._config.orphan_wait}, got none; check its producer"
            self._reject_held(reason, detail, held)
        if slate.served_id:
            self.ledger.slates["dropped"] += 1
            self.book.open_slates -= 1
        self.book.forget(slate)

    def _credit(self, event_id: str) -> None:
        """Give a label without request to its user's last click on the item."""
        touch = self.book.take_touch(event_id)
        if touch is None:
            return
        slate = None if touch.fact.task == "click" else self.book.last_clicked(touch)
        if slate is not None:
            self._add_label(slate, event_id, touch.fact, touch.held)
            return
        self.ledger.labels[touch.fact.task, "orphan_expired"] += 1
        detail = "request_id: expected one, or an earlier click of the user on the item, got neither; name the request"
        self._reject_held("orphan_expired", detail, touch.held)
