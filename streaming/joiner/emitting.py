"""Does what falls due: rows, credit, expiry."""

from datetime import timedelta

from springtide.contracts.dead_letter import Reason
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from streaming.joiner.book import SlateBook
from streaming.joiner.ledger import Ledger
from streaming.joiner.matching import Matcher
from streaming.joiner.outbox import Outbox
from streaming.joiner.rows import corrected_row, earliest, full_row, read_served
from streaming.joiner.state import Slate
from streaming.joiner.timers import Due, Timer
from streaming.joiner.windows import Windows


class Emitter:
    """Fires the timers of a book; each is checked against the state first."""

    def __init__(
        self,
        book: SlateBook,
        ledger: Ledger,
        outbox: Outbox,
        windows: Windows,
        *,
        matcher: Matcher,
        orphan_wait: timedelta,
    ) -> None:
        self._book, self._ledger, self._outbox, self._windows = book, ledger, outbox, windows
        self._matcher, self._orphan_wait = matcher, orphan_wait
        self._watermark_ms = 0
        self.waits: list[tuple[str, int]] = []
        """Per emitted row its phase and watermark minus due time; the shell empties it."""

    def fire(self, watermark_ms: int) -> None:
        """Do everything that is due before the watermark, in the order in which it fell due."""
        self._watermark_ms = watermark_ms
        while (timer := self._book.timers.pop_due(watermark_ms)) is not None:
            if timer.kind is Due.CREDIT:
                self._credit(timer.subject)
            elif (slate := self._book.slates.get(timer.subject)) is not None:
                self._fire_slate(slate, timer)

    def _fire_slate(self, slate: Slate, timer: Timer) -> None:
        kind = timer.kind
        if kind is Due.FORGET and slate.final:
            self._book.forget(slate)
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
        self._book.changed(slate)
        self._emit(row, due_ms)

    def _emit_corrected(self, slate: Slate, timer: Timer) -> None:
        name, _, item_id = timer.detail.partition(":")
        task = next(task for task in TASKS if task == name)
        fact = earliest(slate, task, item_id, self._windows.final_age_ms, self._windows)
        if fact is None or timer.detail in slate.told:
            return
        slate.told = [*slate.told, timer.detail]
        self._book.changed(slate)
        self._emit(corrected_row(slate, read_served(slate), fact, self._windows), timer.due_ms)

    def _emit_final(self, slate: Slate, due_ms: int) -> None:
        self._emit(full_row(slate, read_served(slate), "final", self._windows.final_age_ms, self._windows), due_ms)
        self._ledger.slates["final"] += 1
        self._book.finish(slate)
        self._book.schedule(slate)

    def _emit(self, row: Sample, due_ms: int) -> None:
        self.waits.append((row.phase, self._watermark_ms - due_ms))
        self._outbox.add_row(row)

    def _expire(self, slate: Slate) -> None:
        """Give up a slate without impression, or events without a slate."""
        missing = "an impression of its slate" if slate.served_id else "its slate"
        for event_id, held in slate.held.items():
            fact = slate.labels.get(event_id)
            reason: Reason = "orphan_expired"
            if fact is not None:
                self._ledger.labels[fact.task, "orphan_expired"] += 1
            elif not slate.served_id:
                reason = "impression_without_served"
            detail = f"request_id: expected {missing} within {self._orphan_wait}, got none; check its producer"
            self._outbox.reject(reason, detail, held)
        if slate.served_id:
            self._ledger.slates["dropped"] += 1
            self._book.open_slates -= 1
        self._book.forget(slate)

    def _credit(self, event_id: str) -> None:
        """Give a label without request to its user's last click on the item."""
        touch = self._book.take_touch(event_id)
        if touch is None:
            return
        slate = None if touch.fact.task == "click" else self._book.last_clicked(touch)
        if slate is not None:
            self._matcher.add_label(slate, event_id, touch.fact, touch.held)
            return
        self._ledger.labels[touch.fact.task, "orphan_expired"] += 1
        detail = "request_id: expected one, or an earlier click of the user on the item, got neither; name the request"
        self._outbox.reject("orphan_expired", detail, touch.held)
