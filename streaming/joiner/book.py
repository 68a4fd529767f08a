"""The slates of one partition: found by request, by click and by what falls due; and what of them must be written."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from springtide.contracts.tasks import Task
from streaming.core import Write
from streaming.joiner.ledger import Ledger
from streaming.joiner.plan import Plan
from streaming.joiner.state import (
    PACK,
    LabelFact,
    PartitionMeta,
    Slate,
    Touch,
    meta_key,
    slate_decoder,
    slate_key,
    touch_decoder,
    touch_key,
)
from streaming.joiner.timers import Due, Timer, Timers


class SlateBook:
    """All entries of one partition, in memory, and the changes since the last trigger."""

    def __init__(self, partition: int, plan: Plan) -> None:
        self._partition, self._plan = partition, plan
        self.slates: dict[str, Slate] = {}
        self.touches: dict[str, Touch] = {}
        self.timers = Timers()
        self.open_slates = 0
        self._clicked: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._changed: dict[bytes, Slate | Touch] = {}
        self._deleted: dict[bytes, None] = {}

    def load(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over stored entries."""
        prefix = f"{self._partition}/".encode()
        for key, value in entries.items():
            if key.startswith(prefix + b"s/"):
                slate = slate_decoder.decode(value)
                self.slates[slate.request_id] = slate
            elif key.startswith(prefix + b"t/"):
                self.touches[key[len(prefix) + 2 :].decode()] = touch_decoder.decode(value)
        for slate in self.slates.values():
            if slate.complete:
                for fact in slate.labels.values():
                    self.index_click(slate, fact)
            self.open_slates += bool(slate.served_id) and not slate.final
            self.schedule(slate)
        for event_id, touch in self.touches.items():
            self._schedule_touch(event_id, touch)

    def count_stock(self, ledger: Ledger) -> None:
        """Enter what was found at the start as come in."""
        ledger.slates["in"] += self.open_slates
        for task, number in self.waiting().items():
            ledger.labels[task, "in"] += number

    def open(self, request_id: str, user_id: str, event_time_ms: int) -> Slate:
        """Find a slate, or begin it with its first event, whichever that is."""
        slate = self.slates.get(request_id)
        if slate is None:
            slate = self.slates[request_id] = Slate(request_id, user_id, event_time_ms)
        elif event_time_ms < slate.first_ms and not slate.final:
            slate.first_ms = event_time_ms
        return slate

    def changed(self, slate: Slate) -> None:
        """Note that a slate must be written."""
        self._put(slate_key(self._partition, slate.request_id), slate)

    def schedule(self, slate: Slate) -> None:
        """Set the slate's timers from its state."""
        for timer in self._plan.timers_of(slate):
            self.timers.add(timer)

    def finish(self, slate: Slate) -> None:
        """Keep of a final slate what knows late labels, repetitions, and the clicks that later labels may name."""
        slate.final, slate.served, slate.told, slate.held = True, b"", [], {}
        slate.labels = {event_id: fact for event_id, fact in slate.labels.items() if fact.task == "click"}
        self.open_slates -= 1
        self.changed(slate)

    def forget(self, slate: Slate) -> None:
        """Delete a slate."""
        del self.slates[slate.request_id]
        for fact in slate.labels.values():
            requests = self._clicked.get((slate.user_id, fact.item_id))
            if requests is not None:
                requests.discard(slate.request_id)
                if not requests:
                    del self._clicked[slate.user_id, fact.item_id]
        # What it came to is written all the same, before the partition's own entry: should its deletion be lost, the
        # next life finds the slate as it ended, and not as it was a trigger ago, with rows still to be said.
        self._deleted[slate_key(self._partition, slate.request_id)] = None

    def index_click(self, slate: Slate, fact: LabelFact) -> None:
        """Let a click of a shown item be found by user and item."""
        if fact.task == "click":
            self._clicked[slate.user_id, fact.item_id].add(slate.request_id)

    def last_clicked(self, touch: Touch) -> Slate | None:
        """Find the slate of the user's last click on the item at or before the label."""
        clicks = [
            (fact.time_ms, request_id, event_id)
            for request_id in self._clicked.get((touch.user_id, touch.fact.item_id), ())
            for event_id, fact in self.slates[request_id].labels.items()
            if fact.task == "click" and fact.item_id == touch.fact.item_id and fact.time_ms <= touch.fact.time_ms
        ]
        return self.slates[max(clicks)[1]] if clicks else None

    def add_touch(self, event_id: str, touch: Touch) -> None:
        """Keep a label that waits for credit."""
        self.touches[event_id] = touch
        self._put(touch_key(self._partition, event_id), touch)
        self._schedule_touch(event_id, touch)

    def take_touch(self, event_id: str) -> Touch | None:
        """Remove a label that waited for credit."""
        touch = self.touches.pop(event_id, None)
        if touch is not None:
            key = touch_key(self._partition, event_id)
            self._changed.pop(key, None)
            self._deleted[key] = None
        return touch

    def waiting(self) -> Counter[Task]:
        """Count labels per task that have no outcome yet."""
        waiting: Counter[Task] = Counter(touch.fact.task for touch in self.touches.values())
        for slate in self.slates.values():
            if not slate.complete and not slate.final:
                waiting.update(fact.task for fact in slate.labels.values())
        return waiting

    def impressions_open(self) -> int:
        """Count shown items whose slate is not final."""
        return sum(len(slate.positions) for slate in self.slates.values() if slate.complete and not slate.final)

    def take_writes(self, meta: PartitionMeta) -> Iterable[Write]:
        """Give all changes since the last call, in the order in which they must reach the changelog."""
        changed, self._changed = self._changed, {}
        deleted, self._deleted = self._deleted, {}
        writes = [Write(key, PACK(entry)) for key, entry in changed.items()]
        writes.append(Write(meta_key(self._partition), PACK(meta)))
        writes.extend(Write(key, None) for key in deleted)
        return writes

    def _schedule_touch(self, event_id: str, touch: Touch) -> None:
        self.timers.add(Timer(touch.fact.time_ms, Due.CREDIT, event_id))

    def _put(self, key: bytes, entry: Slate | Touch) -> None:
        self._deleted.pop(key, None)
        self._changed[key] = entry
