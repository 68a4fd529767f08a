"""Brings impressions, labels and refunds to their slate: every label and every refund gets its outcome, once."""

from typing import Final

from springtide.contracts.events import Cart, Click, Impression, Label, Purchase, Refund
from springtide.contracts.tasks import Task
from streaming.core import Record
from streaming.joiner.book import SlateBook
from streaming.joiner.ledger import Ledger
from streaming.joiner.outbox import Outbox
from streaming.joiner.served import input_decoder
from streaming.joiner.state import Fact, Held, Slate, Stray, TakenBack, every_place
from streaming.joiner.windows import Windows

_TASK_OF: Final[dict[type[Label], Task]] = {Click: "click", Cart: "cart", Purchase: "purchase"}


def fact_of(event: Label) -> Fact:
    """Read what rows need of a label."""
    revenue = event.price * event.quantity if isinstance(event, Purchase) else 0.0
    return Fact(event.event_id, _TASK_OF[type(event)], event.item_id, event.event_time_ms, revenue)


def hold(event_id: str, task: Task | None, record: Record) -> Held:
    """Keep an event as it came."""
    return Held(event_id, task, record.offset, record.key, record.value)


class Matcher:
    """Merges events into the slates of a book."""

    def __init__(
        self, book: SlateBook, ledger: Ledger, outbox: Outbox, windows: Windows, labels_per_slate: int
    ) -> None:
        self._book, self._ledger, self._outbox, self._windows = book, ledger, outbox, windows
        self._labels_per_slate = labels_per_slate
        self.delays: list[tuple[Task, int]] = []
        """Delays of matched labels since last read, for a histogram; the shell empties it."""

    # Impressions

    def add_impression(self, slate: Slate, event: Impression, record: Record) -> None:
        """Merge what was shown, once the slate itself is known."""
        if slate.origin:
            self._show(slate, event, record)
            self._book.changed(slate)
            if slate.waiting:
                self.retry(slate)
        else:
            self._wait(slate, hold(event.event_id, None, record))

    def _show(self, slate: Slate, event: Impression, record: Record) -> None:
        shown = self._checked(tuple(event.positions), len(slate.item_ids), record)
        if slate.positions:
            shown = tuple(sorted({*slate.positions, *shown}))
        new = len(shown) - len(slate.positions)
        slate.positions = shown
        self._book.open_impressions += new
        self._ledger.impressions["in"] += new
        slate.impression_ids += (event.event_id,)
        if slate.impression_ms is None or event.event_time_ms < slate.impression_ms:
            slate.impression_ms = event.event_time_ms
            self._book.schedule(slate)

    def _checked(self, positions: tuple[int, ...], count: int, record: Record) -> tuple[int, ...]:
        """Give the positions that the slate has, in order, and tell of the others."""
        every = every_place(count)
        if positions == every:
            return every
        wrong = [position for position in positions if not 1 <= position <= count]
        if wrong:
            detail = f"positions: expected 1 to {count}, got {wrong}; fix its producer"
            self._outbox.reject("unknown_position", detail, record)
        return tuple(sorted(set(positions).difference(wrong)))

    def retry(self, slate: Slate) -> None:
        """Merge again what waited, impressions first; what still cannot be used goes on waiting."""
        for held in self._book.let_go(slate):
            event, record = input_decoder.decode(held.value), held.record
            if isinstance(event, Impression):
                self._show(slate, event, record)
            elif isinstance(event, Label):
                self._match(slate, fact_of(event), record)
        self._book.changed(slate)

    def _wait(self, slate: Slate, held: Held) -> None:
        self._book.hold_back(slate, held)
        self._book.changed(slate)

    # Labels

    def add_label(self, slate: Slate, fact: Fact, record: Record) -> None:
        """Give a label to its slate, or let it wait there."""
        if slate.knows(fact.event_id):
            self.count_duplicate(fact.task)
        elif slate.closed:
            self._ledger.labels[fact.task, "late"] += 1
        else:
            self._match(slate, fact, record)

    def count_duplicate(self, task: Task) -> None:
        """Count a label that is known already."""
        self._ledger.labels[task, "duplicate"] += 1
        self._ledger.duplicates[task] += 1

    def _match(self, slate: Slate, fact: Fact, record: Record) -> None:
        """Give a label of an open slate its outcome, and keep it if anything may still need it."""
        shown = slate.place(fact.item_id)
        if not slate.complete or (not shown and fact.item_id in slate.item_ids):
            self._wait(slate, hold(fact.event_id, fact.task, record))
            return
        if not shown:
            self.reject_item(fact.task, record)
            return
        delay = slate.delay_ms(fact.time_ms)
        late = delay > self._windows.attribution_ms[fact.task]
        self._ledger.labels[fact.task, "late" if late else "matched"] += 1
        if not late:
            self.delays.append((fact.task, delay))
        if (fact.task == "click" or not late) and self._has_room(slate, fact):
            self._keep(slate, fact)

    def reject_item(self, task: Task, record: Record) -> None:
        """A label of an item that was not shown is matched to its slate, makes no row, and is told."""
        self._ledger.labels[task, "matched"] += 1
        detail = "item_id: expected one of the slate's shown items, got another; fix its producer"
        self._outbox.reject("unknown_position", detail, record)

    def _has_room(self, slate: Slate, fact: Fact) -> bool:
        """Beyond the bound a label is kept only where it changes its item's column."""
        if len(slate.labels) < self._labels_per_slate:
            return True
        times = [known.time_ms for known in slate.labels if known.task == fact.task and known.item_id == fact.item_id]
        return not times or fact.time_ms < min(times)

    def _keep(self, slate: Slate, fact: Fact) -> None:
        slate.labels += (fact,)
        self._book.index(slate, fact)
        self._book.changed(slate)
        self._book.schedule_corrections(slate)
        if fact.task == "purchase":
            for event_id in self._book.strays.refunds_of(fact.event_id):
                refund = self._book.strays.take(event_id)
                if refund is not None:
                    self._take_back(slate, refund)

    # Refunds

    def add_refund(self, event: Refund, record: Record) -> None:
        """Take a purchase back, or wait for it."""
        self._ledger.refunds["in"] += 1
        held = hold(event.event_id, None, record)
        stray = Stray(event.user_id, event.event_time_ms, held, purchase_id=event.purchase_id)
        slate = self._book.slate_of_purchase(event.purchase_id)
        if slate is not None:
            self._take_back(slate, stray)
        elif event.event_id in self._book.strays.by_id:
            self._count_repeated_refund()
        else:
            self._book.strays.add(stray)

    def rejoin_refunds(self) -> None:
        """After a restart: a trigger that broke off may have written the slate and not yet dropped what waited."""
        for event_id, stray in list(self._book.strays.by_id.items()):
            slate = self._book.slate_of_purchase(stray.purchase_id) if stray.fact is None else None
            if slate is not None:
                self._book.strays.take(event_id)
                self._take_back(slate, stray)

    def _take_back(self, slate: Slate, refund: Stray) -> None:
        """The earliest refund of a purchase counts, whichever came first, unless its row is out."""
        known = next((known for known in slate.refunds if known.purchase_id == refund.purchase_id), None)
        new = TakenBack(refund.purchase_id, refund.held.event_id, refund.time_ms)
        if slate.delay_ms(refund.time_ms) > self._windows.refund_ms:
            self._ledger.refunds["late"] += 1
            return
        if known is None:
            self._ledger.refunds["matched"] += 1
        else:
            self._count_repeated_refund()
            if known.told or (known.time_ms, known.event_id) <= (new.time_ms, new.event_id):
                return
        slate.refunds = (*(other for other in slate.refunds if other is not known), new)
        self._book.changed(slate)
        self._book.schedule_corrections(slate)

    def _count_repeated_refund(self) -> None:
        self._ledger.refunds["duplicate"] += 1
        self._ledger.duplicates["refund"] += 1
