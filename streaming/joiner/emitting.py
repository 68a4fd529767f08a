"""Does what falls due at a trigger, step by step; nothing here looks at anything but the state and the watermark.

The order of the steps matters: credit brings labels that rows then tell; a row that is out makes corrections due; a
slate is forgotten only when all is said.
"""

from datetime import timedelta

from springtide.contracts.dead_letter import Reason
from springtide.contracts.tasks import Task
from streaming.joiner.book import SlateBook
from streaming.joiner.ledger import Ledger
from streaming.joiner.matching import Matcher
from streaming.joiner.outbox import Outbox
from streaming.joiner.plan import Plan
from streaming.joiner.rows import Row, Rows
from streaming.joiner.state import Fact, Slate
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
        plan: Plan,
        matcher: Matcher,
        orphan_wait: timedelta,
    ) -> None:
        self._book, self._ledger, self._outbox, self._windows = book, ledger, outbox, windows
        self._plan, self._matcher, self._orphan_wait = plan, matcher, orphan_wait
        self._rows = Rows(windows, plan)
        self._watermark_ms = 0
        self.waits: list[tuple[str, int]] = []
        """Per emitted row its phase and watermark minus due time; the shell empties it."""

    def fire(self, watermark_ms: int) -> None:
        """Do everything that is due before the watermark."""
        self._watermark_ms = watermark_ms
        self._credit_labels()
        self._emit_rows()
        self._emit_corrections()
        self._expire_slates()
        self._expire_refunds()
        self._forget_slates()

    def forget(self, watermark_ms: int) -> None:
        """At a restart: forget the slates that were forgotten at a trigger before the last.

        Their entries may be there still, beside those of slates that live on. The ones of the last trigger stay until
        everything due is fired: a refund that they took may have been left waiting.
        """
        self._watermark_ms = watermark_ms
        self._forget_slates()

    def _credit_labels(self) -> None:
        """Give each label without a request to its user's last click on the item: all clicks before it are in."""
        strays = self._book.strays
        for _, event_id in strays.credits.take_due(self._watermark_ms):
            stray = strays.take(event_id)
            if stray is None or stray.fact is None:
                continue
            slate = None if stray.fact.task == "click" else self._book.last_clicked(stray.user_id, stray.fact)
            if slate is not None:
                self._matcher.add_label(slate, stray.fact, stray.held.record)
                continue
            self._ledger.labels[stray.fact.task, "orphan_expired"] += 1
            wanted = "one, or an earlier click of the user on the item"
            self._outbox.reject(
                "orphan_expired", f"request_id: expected {wanted}, got neither; name the request", stray.held.record
            )

    def _emit_rows(self) -> None:
        """Emit the rows of every slate that has reached their ages; after a leap of time that may be several."""
        for _, request_id in self._book.rows.take_due(self._watermark_ms):
            slate = self._book.slates.get(request_id)
            if slate is None or not slate.complete:
                continue
            before = slate.stage
            while not slate.closed and (due_ms := self._plan.row_due_ms(slate)) < self._watermark_ms:
                self._emit_row(slate, due_ms)
            if slate.stage > before:
                self._book.changed(slate)
                self._book.schedule(slate)
                if slate.labels:
                    self._book.schedule_corrections(slate)

    def _emit_row(self, slate: Slate, due_ms: int) -> None:
        """Emit the row of the slate's stage and go on to the next; the last stage closes the slate."""
        stage = self._plan.stages[slate.stage]
        closes = slate.stage + 1 == len(self._plan.stages)
        if closes and slate.labels:
            self._correct(slate)
        if stage.phase is not None:
            row = self._rows.whole(slate, stage)
            left_out = len(slate.positions) if row is None else row.sampled_out
            if left_out:
                self._ledger.sampled_out[stage.phase] += left_out
            if row is not None:
                self._emit(row, due_ms)
                if stage.phase == "observed":
                    slate.told = row.told
        if not stage.keeps_features:
            slate.features = b""
        slate.stage += 1
        if closes:
            self._close(slate)

    def _close(self, slate: Slate) -> None:
        """Keep of a slate what knows late labels, repetitions and refunds, and the clicks that labels may name."""
        for held in self._book.let_go(slate):
            if held.task is not None:
                self._matcher.reject_item(held.task, held.record)
        self._book.count_done(slate)
        self._book.open_impressions -= len(slate.positions)
        self._ledger.slates["final"] += 1
        self._ledger.impressions["final"] += len(slate.positions)
        slate.closed, slate.told = True, ()
        if not (slate.labels and any([fact.task == "purchase" for fact in slate.labels])):
            slate.scores, slate.propensities, slate.item_ids, slate.positions = b"", b"", (), ()

    def _emit_corrections(self) -> None:
        """Emit the positives and refunds that came when their row was out."""
        for _, request_id in self._book.corrections.take_due(self._watermark_ms):
            slate = self._book.slates.get(request_id)
            if slate is None or not slate.complete:
                continue
            if slate.closed:
                self._refund(slate)
            elif slate.stage >= self._plan.observed_stage:
                self._correct(slate)

    def _correct(self, slate: Slate) -> None:
        """Tell each task and item whose first label no row has told."""
        if not self._plan.corrects:
            return
        for fact in self._firsts(slate):
            name = f"{fact.task}:{fact.item_id}"
            if name not in slate.told:
                slate.told += (name,)
                self._book.changed(slate)
                self._emit(self._rows.corrected(slate, fact), fact.time_ms)

    def _firsts(self, slate: Slate) -> list[Fact]:
        """Give the first label of each task and item, as far as the watermark says that no earlier one can come."""
        firsts: dict[tuple[Task, str], Fact] = {}
        for fact in sorted(slate.labels, key=lambda fact: (fact.time_ms, fact.event_id)):
            delay = slate.delay_ms(fact.time_ms)
            if fact.time_ms < self._watermark_ms and self._windows.counts(fact.task, delay, self._windows.final_age_ms):
                firsts.setdefault((fact.task, fact.item_id), fact)
        return list(firsts.values())

    def _refund(self, slate: Slate) -> None:
        """Tell each refund of a closed slate before which no other can come."""
        for refund in sorted(slate.refunds, key=lambda refund: (refund.time_ms, refund.event_id)):
            if not refund.told and refund.time_ms < self._watermark_ms:
                self._emit(self._rows.refunded(slate, refund), refund.time_ms)
                refund.told = True
                self._book.changed(slate)

    def _emit(self, row: Row, due_ms: int) -> None:
        self.waits.append((row.phase, self._watermark_ms - due_ms))
        self._outbox.add_row(row)

    def _expire_slates(self) -> None:
        """Give up slates without an impression, and events without a slate."""
        for _, request_id in self._book.expiries.take_due(self._watermark_ms):
            slate = self._book.slates.get(request_id)
            if slate is None or slate.complete or self._plan.expires_ms(slate.first_ms) >= self._watermark_ms:
                continue
            missing = "its slate" if not slate.origin else "an impression of its slate"
            detail = f"request_id: expected {missing} within {self._orphan_wait}, got none; check its producer"
            for held in slate.waiting:
                reason: Reason = "orphan_expired"
                if held.task is not None:
                    self._ledger.labels[held.task, "orphan_expired"] += 1
                elif not slate.origin:
                    reason = "impression_without_served"
                self._outbox.reject(reason, detail, held.record)
            if slate.origin:
                self._ledger.slates["dropped"] += 1
                self._book.count_done(slate)
            self._book.give_up(slate)

    def _expire_refunds(self) -> None:
        """Give up refunds whose purchase never came, or was of no use."""
        strays = self._book.strays
        for _, event_id in strays.expiries.take_due(self._watermark_ms):
            stray = strays.take(event_id)
            if stray is not None:
                self._ledger.refunds["orphan_expired"] += 1
                detail = f"purchase_id: expected a matched purchase within {self._orphan_wait}, got none; check it"
                self._outbox.reject("orphan_expired", detail, stray.held.record)

    def _forget_slates(self) -> None:
        """Forget closed slates that nothing can name any more."""
        for _, request_id in self._book.memories.take_due(self._watermark_ms):
            slate = self._book.slates.get(request_id)
            if slate is not None and slate.closed and self._plan.forget_ms(slate) < self._watermark_ms:
                self._book.forget(slate)
