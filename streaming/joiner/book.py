"""The slates of one partition: found by request, by click, by purchase and by what falls due; and what to write."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from sys import intern

from springtide.contracts.tasks import Task
from streaming.core import Write
from streaming.joiner.ledger import Ledger
from streaming.joiner.plan import Plan
from streaming.joiner.segments import Segments
from streaming.joiner.state import PACK, Fact, Held, PartitionMeta, Slate
from streaming.joiner.strays import Strays
from streaming.joiner.timers import Timers


class SlateBook:
    """All entries of one partition, in memory, and the changes since the last trigger."""

    def __init__(self, partition: int, plan: Plan, bucket_ms: int) -> None:
        self._meta_key, self._plan, self._bucket_ms = meta_key(partition), plan, bucket_ms
        self._segments = Segments(partition)
        self.slates: dict[str, Slate] = {}
        self.strays = Strays(partition, plan, bucket_ms)
        self.rows, self.expiries, self.memories, self.corrections = (Timers(bucket_ms) for _ in range(4))
        """Requests whose next row, whose expiry, whose end, or whose correction or refund falls due."""
        self.open_slates = 0
        self._open_since: Counter[int] = Counter()
        """Open slates by the bucket of event time in which they were served."""
        self.open_impressions = 0
        """Shown items of open slates."""
        self.slate_bytes = 0
        self._waiting: Counter[Task] = Counter()
        self._clicked: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._bought: dict[str, str] = {}
        """Request by the event id of a purchase."""
        self._changed: dict[str, Slate] = {}
        self._forgotten: list[Slate] = []
        self._given_up: dict[str, Slate] = {}

    # Restart

    def load(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over stored entries; indexes, counts and timers follow from them."""
        self.slates = self._segments.load(entries)
        self.strays.load(entries)
        origins: dict[bytes, bytes] = {}
        for slate in self.slates.values():
            slate.origin = origins.setdefault(slate.origin, slate.origin)
            slate.user_id, slate.item_ids = intern(slate.user_id), tuple(map(intern, slate.item_ids))
            slate.size = slate.estimate()
            self.slate_bytes += slate.size
            self._waiting.update([held.task for held in slate.waiting if held.task is not None])
            if slate.origin and not slate.closed:
                self.count_open(slate)
                self.open_impressions += len(slate.positions)
            for fact in slate.labels:
                self.index(slate, fact)
            self.schedule(slate)
            self.schedule_corrections(slate)

    def count_stock(self, ledger: Ledger) -> None:
        """Enter what was found at the start as come in."""
        ledger.slates["in"] += self.open_slates
        ledger.impressions["in"] += self.open_impressions
        for task, number in self.waiting().items():
            ledger.labels[task, "in"] += number
        ledger.refunds["in"] += self.strays.refunds

    # Slates

    def open(self, request_id: str, user_id: str, event_time_ms: int) -> Slate:
        """Find a slate, or begin it with its first event, whichever that is."""
        slate = self.slates.get(request_id)
        if slate is None:
            slate = self.slates[request_id] = Slate(request_id, user_id, event_time_ms)
            given_up = self._given_up.pop(request_id, None)
            if given_up is not None:  # its newest version in the table and its bytes are this one's now
                slate.segment, slate.size = given_up.segment, given_up.size
            self.expiries.add(self._plan.expires_ms(event_time_ms), request_id)
        elif event_time_ms < slate.first_ms and not slate.complete:
            slate.first_ms = event_time_ms
            self.expiries.add(self._plan.expires_ms(event_time_ms), request_id)
        return slate

    def count_open(self, slate: Slate) -> None:
        """Count a slate whose `served` has come."""
        self.open_slates += 1
        self._open_since[slate.served_ms // self._bucket_ms] += 1

    def count_done(self, slate: Slate) -> None:
        """Count it no more: it is final or dropped."""
        self.open_slates -= 1
        bucket = slate.served_ms // self._bucket_ms
        self._open_since[bucket] -= 1
        if not self._open_since[bucket]:
            del self._open_since[bucket]

    def changed(self, slate: Slate) -> None:
        """Note that a slate must be written."""
        self._changed[slate.request_id] = slate

    def schedule(self, slate: Slate) -> None:
        """Set the timer of the slate's next step."""
        if slate.closed:
            self.memories.add(self._plan.forget_ms(slate), slate.request_id)
        elif slate.complete:
            self.rows.add(self._plan.row_due_ms(slate), slate.request_id)
        else:
            self.expiries.add(self._plan.expires_ms(slate.first_ms), slate.request_id)

    def schedule_corrections(self, slate: Slate) -> None:
        """Set timers for whatever may have to be told between rows; what was told already is told no more then."""
        if slate.closed:
            times = [refund.time_ms for refund in slate.refunds if not refund.told]
        else:
            times = [fact.time_ms for fact in slate.labels] if slate.stage >= self._plan.observed_stage else []
        for time_ms in times:
            self.corrections.add(time_ms, slate.request_id)

    def hold_back(self, slate: Slate, held: Held) -> None:
        """Let an event wait in its slate."""
        slate.waiting += (held,)
        if held.task is not None:
            self._waiting[held.task] += 1

    def let_go(self, slate: Slate) -> tuple[Held, ...]:
        """Take out what waits in a slate, impressions first."""
        waiting, slate.waiting = slate.waiting, ()
        for held in waiting:
            if held.task is not None:
                self._waiting[held.task] -= 1
        return waiting if len(waiting) < 2 else tuple(sorted(waiting, key=lambda held: held.task is not None))

    def give_up(self, slate: Slate) -> None:
        """Drop a slate that never became complete; a later event would begin it anew.

        The table forgets it only after the partition's own entry: should the trigger break off before that, the next
        life must find all that was given up, to give it up again.
        """
        del self.slates[slate.request_id]
        self._waiting.subtract([held.task for held in slate.waiting if held.task is not None])
        if slate.segment:
            self._given_up[slate.request_id] = slate
        else:
            self._changed.pop(slate.request_id, None)

    def forget(self, slate: Slate) -> None:
        """Let a closed slate go.

        What it came to since the last trigger is written all the same: should the trigger break off, the next life
        must find the slate as it ended, and not as it was a trigger ago, with rows still to be said.
        """
        del self.slates[slate.request_id]
        if slate.request_id in self._changed:
            self._forgotten.append(slate)
        else:
            self._release(slate)
        for fact in slate.labels:
            self._bought.pop(fact.event_id, None)
            requests = self._clicked.get((slate.user_id, fact.item_id))
            if requests is not None:
                requests.discard(slate.request_id)
                if not requests:
                    del self._clicked[slate.user_id, fact.item_id]

    # Labels

    def index(self, slate: Slate, fact: Fact) -> None:
        """Let a click be found by user and item, a purchase by its event id."""
        if fact.task == "click":
            self._clicked[slate.user_id, fact.item_id].add(slate.request_id)
        elif fact.task == "purchase":
            self._bought[fact.event_id] = slate.request_id

    def last_clicked(self, user_id: str, fact: Fact) -> Slate | None:
        """Find the slate of the user's last click on the item at or before the label, and before the slate closed."""
        clicks = [
            (click.time_ms, request_id)
            for request_id in self._clicked.get((user_id, fact.item_id), ())
            for click in self.slates[request_id].labels
            if click.task == "click"
            and click.item_id == fact.item_id
            and click.time_ms <= fact.time_ms
            and self.slates[request_id].delay_ms(click.time_ms) <= self._plan.closing_ms
        ]
        return self.slates[max(clicks)[1]] if clicks else None

    def slate_of_purchase(self, purchase_id: str) -> Slate | None:
        """Find the slate that a purchase was matched to."""
        request_id = self._bought.get(purchase_id)
        return None if request_id is None else self.slates[request_id]

    # Stock and writes

    def waiting(self) -> Counter[Task]:
        """Count labels per task that have no outcome yet."""
        return self._waiting + self.strays.labels

    @property
    def oldest_open_ms(self) -> int | None:
        """Begin of the bucket in which the oldest open slate was served; None when none is open."""
        return min(self._open_since) * self._bucket_ms if self._open_since else None

    @property
    def timers(self) -> int:
        """How many timers are set, those included that turn out to be of no use."""
        sets = (self.rows, self.expiries, self.memories, self.corrections, self.strays.credits, self.strays.expiries)
        return sum(len(timers) for timers in sets)

    @property
    def pending_bytes(self) -> int:
        """Estimated bytes of everything that was kept at the last trigger."""
        return self.slate_bytes + self.strays.bytes

    def take_writes(self, meta: PartitionMeta) -> Iterator[Write]:
        """Give all changes since the last call, in the order in which they must reach the changelog."""
        changed, self._changed = self._changed, {}
        for slate in changed.values():
            size = slate.estimate()
            self.slate_bytes += size - slate.size
            slate.size = size
        yield from self._segments.write(changed.values())
        forgotten, self._forgotten = self._forgotten, []
        for slate in forgotten:
            self._release(slate)
        yield from self.strays.take_changed()
        yield Write(self._meta_key, PACK(meta))
        yield from self.strays.take_deleted()
        given_up, self._given_up = self._given_up, {}
        self.slate_bytes -= sum([slate.size for slate in given_up.values()])
        yield from self._segments.write([Slate(name, segment=slate.segment) for name, slate in given_up.items()])
        yield from self._segments.delete_idle()

    def _release(self, slate: Slate) -> None:
        self.slate_bytes -= slate.size
        self._segments.release(slate)


def meta_key(partition: int) -> bytes:
    """Key of the partition's own entry."""
    return f"{partition}/m".encode()
