"""Brings labels and slates together: every label gets its outcome, once."""

from springtide.contracts.tasks import Task
from streaming.joiner.book import SlateBook
from streaming.joiner.ledger import Ledger
from streaming.joiner.outbox import Outbox
from streaming.joiner.rows import earliest
from streaming.joiner.state import Held, LabelFact, Slate
from streaming.joiner.windows import Windows


class Matcher:
    """Adds labels to the slates of a book."""

    def __init__(
        self, book: SlateBook, ledger: Ledger, outbox: Outbox, windows: Windows, labels_per_slate: int
    ) -> None:
        self._book, self._ledger, self._outbox, self._windows = book, ledger, outbox, windows
        self._labels_per_slate = labels_per_slate
        self.delays: list[tuple[Task, int]] = []
        """Delays of matched labels since last read, for a histogram; the shell empties it."""

    def add_label(self, slate: Slate, event_id: str, fact: LabelFact, held: Held) -> None:
        """Give a label to its slate, or let it wait there until the slate is complete."""
        if event_id in slate.labels:
            self.count_duplicate(fact.task)
        elif slate.final:
            self._ledger.labels[fact.task, "late"] += 1
        elif not slate.complete:
            slate.labels[event_id] = fact
            slate.held[event_id] = held
            self.note_change(slate)
        else:
            self._match(slate, event_id, fact, held)
            self.note_change(slate)

    def count_duplicate(self, task: Task) -> None:
        """Count a label that is known already."""
        self._ledger.labels[task, "duplicate"] += 1
        self._ledger.duplicates[task] += 1

    def _match(self, slate: Slate, event_id: str, fact: LabelFact, held: Held) -> None:
        """Give a label of a complete slate its outcome, and keep it if anything may still need it."""
        if not slate.shows(fact.item_id):
            self._ledger.labels[fact.task, "matched"] += 1
            slate.labels.pop(event_id, None)
            detail = f"item_id: expected one of the slate's shown items, got {fact.item_id!r}; fix its producer"
            self._outbox.reject("unknown_position", detail, held)
            return
        delay = slate.delay_ms(fact)
        late = delay > self._windows.attribution_ms[fact.task]
        self._ledger.labels[fact.task, "late" if late else "matched"] += 1
        if not late:
            self.delays.append((fact.task, delay))
        if fact.task == "click" or not late:
            if len(slate.labels) < self._labels_per_slate or self._is_news(slate, fact):
                slate.labels[event_id] = fact
        else:
            slate.labels.pop(event_id, None)
        if fact.task == "click" and event_id in slate.labels:
            self._book.index_click(slate, fact)

    def _is_news(self, slate: Slate, fact: LabelFact) -> bool:
        known = earliest(slate, fact.task, fact.item_id, self._windows.final_age_ms, self._windows)
        return known is None or fact.time_ms < known.time_ms

    def note_change(self, slate: Slate) -> None:
        """After any event: complete it if it now is, note the change, and set its timers."""
        if slate.complete and slate.held:
            held, slate.held = slate.held, {}
            for event_id in slate.impression_ids:
                self._check_positions(slate, held.get(event_id))
            for event_id in [event_id for event_id in slate.labels if event_id in held]:
                self._match(slate, event_id, slate.labels.pop(event_id), held[event_id])
        self._book.changed(slate)
        self._book.schedule(slate)

    def _check_positions(self, slate: Slate, held: Held | None) -> None:
        wrong = [position for position in slate.positions if not 1 <= position <= len(slate.item_ids)]
        if held is not None and wrong:
            slate.positions = [position for position in slate.positions if position not in wrong]
            detail = f"positions: expected 1 to {len(slate.item_ids)}, got {wrong}; fix its producer"
            self._outbox.reject("unknown_position", detail, held)
