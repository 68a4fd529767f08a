"""What names no request: labels that wait for credit, refunds that wait for their purchase. Keys: `P/t/EVENT`."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from springtide.contracts.tasks import Task
from streaming.core import Write
from streaming.joiner.plan import Plan
from streaming.joiner.state import FACT_BYTES, PACK, Stray, stray_decoder
from streaming.joiner.timers import Timers
from streaming.state_format import read_entry


class Strays:
    """All of one partition, by event id, and the changes since the last trigger. Few, so each has its own entry."""

    def __init__(self, partition: int, plan: Plan, bucket_ms: int) -> None:
        self._prefix, self._plan = f"{partition}/t/".encode(), plan
        self.by_id: dict[str, Stray] = {}
        self.credits, self.expiries = Timers(bucket_ms), Timers(bucket_ms)
        """Labels by when they are credited; refunds by when they give up."""
        self.labels: Counter[Task] = Counter()
        self.refunds = 0
        self.bytes = 0
        self._by_purchase: defaultdict[str, list[str]] = defaultdict(list)
        self._changed: dict[str, Stray] = {}
        self._deleted: dict[str, None] = {}

    def load(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over stored entries."""
        for key, value in entries.items():
            if key.startswith(self._prefix):
                self._enter(read_entry(stray_decoder, key, value))

    def add(self, stray: Stray) -> None:
        """Keep one."""
        self._enter(stray)
        self._changed[stray.held.event_id] = stray
        self._deleted.pop(stray.held.event_id, None)

    def take(self, event_id: str) -> Stray | None:
        """Remove one; None when it is gone already."""
        stray = self.by_id.pop(event_id, None)
        if stray is None:
            return None
        self._count(stray, -1)
        if stray.fact is None:
            self._by_purchase[stray.purchase_id].remove(event_id)
            if not self._by_purchase[stray.purchase_id]:
                del self._by_purchase[stray.purchase_id]
        self._changed.pop(event_id, None)
        self._deleted[event_id] = None
        return stray

    def refunds_of(self, purchase_id: str) -> list[str]:
        """Give the event ids of the refunds that wait for a purchase."""
        return list(self._by_purchase.get(purchase_id, ()))

    def take_changed(self) -> Iterator[Write]:
        """Give the new entries since the last call."""
        changed, self._changed = self._changed, {}
        for event_id, stray in changed.items():
            yield Write(self._prefix + event_id.encode(), PACK(stray))

    def take_deleted(self) -> Iterator[Write]:
        """Give the deletions since the last call."""
        deleted, self._deleted = self._deleted, {}
        for event_id in deleted:
            yield Write(self._prefix + event_id.encode(), None)

    def _enter(self, stray: Stray) -> None:
        event_id = stray.held.event_id
        self.by_id[event_id] = stray
        self._count(stray, 1)
        if stray.fact is None:
            self._by_purchase[stray.purchase_id].append(event_id)
            self.expiries.add(self._plan.expires_ms(stray.time_ms), event_id)
        else:
            self.credits.add(stray.time_ms, event_id)

    def _count(self, stray: Stray, sign: int) -> None:
        self.bytes += sign * (2 * FACT_BYTES + len(stray.held.value))
        if stray.fact is None:
            self.refunds += sign
        else:
            self.labels[stray.fact.task] += sign
