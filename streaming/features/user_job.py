"""Rolling features of the users of one `events` partition, and that partition's part of the item counts."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from springtide.contracts.codec import encode, event_decoder
from springtide.contracts.events import AnyEvent, Impression, Refund, Served, Tick
from springtide.contracts.features import BEHAVIOURS
from springtide.contracts.topics import FEATURES
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds
from streaming.config import FeaturesConfig
from streaming.core import Message, Record, Write
from streaming.features.state import (
    FORMAT,
    PACK,
    PARTIALS_TOPIC,
    USER_KEYS,
    Partial,
    User,
    UserMeta,
    user_decoder,
    user_meta_decoder,
)
from streaming.features.user_events import (
    Catalogue,
    Count,
    event_hash,
    take_impression,
    take_label,
    take_served,
)
from streaming.features.user_row import user_row
from streaming.features.windows import LONGEST_MS, Agenda, floor_to
from streaming.state_format import check_format, check_keys, read_entry
from streaming.watermark import Watermark

ITEMS_PER_PARTIAL = 4000
"""Item counts per internal message, far below Kafka's largest message."""


class UserFeatures:
    """See streaming/core.py for the protocol.

    A user's entry is the only thing stored: it knows which events it has counted, so counting one again changes
    nothing, and the partition's item counts are summed up anew from all users at the start.
    """

    def __init__(
        self,
        *,
        partition: int,
        partitions: int,
        labels: LabelsConfig,
        config: FeaturesConfig,
        outlier_run: int,
        catalogue: Catalogue,
    ) -> None:
        self.partition = partition
        self.events: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        """Events that count for no feature, per reason: undecodable, outlier_time, too_late, no_slate, duplicate."""
        self.rows = 0
        self._partitions, self._catalogue, self._outlier_run = partitions, catalogue, outlier_run
        self._width_ms, self._item_width_ms = milliseconds(config.user_flush), milliseconds(config.item_flush)
        self._remember_ms, self._slate_wait_ms = milliseconds(config.remember), milliseconds(config.slate_wait)
        self._trigger_records = config.trigger_records
        self._lateness_ms = milliseconds(labels.allowed_lateness)
        self._max_advance_ms = milliseconds(labels.max_advance)
        self._meta = UserMeta(-1, Watermark(), None, 0, FORMAT)
        self._users: dict[str, User] = {}
        self._agenda = Agenda(self._width_ms)
        self._parts: defaultdict[int, dict[str, list[int]]] = defaultdict(dict)
        self._untold: defaultdict[int, set[str]] = defaultdict(set)
        self._changed: set[str] = set()
        self._deleted: set[str] = set()

    @property
    def applied(self) -> int:
        """Offset of the last completed trigger, -1 before the first."""
        return self._meta.applied

    @property
    def watermark_ms(self) -> int | None:
        """The partition's watermark."""
        return self._meta.watermark.value(self._lateness_ms)

    @property
    def newest_ms(self) -> int | None:
        """Newest event time believed."""
        return self._meta.watermark.newest_ms

    @property
    def known(self) -> int:
        """Users kept."""
        return len(self._users)

    @property
    def over_budget(self) -> bool:
        """Features are bounded by users and items; they have no budget."""
        return False

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over the stored users.

        Raises:
            FormatError: they are not of this version.
        """
        check_keys(entries, self.partition, USER_KEYS)
        meta_key = self._key("m")
        if meta_key in entries:
            self._meta = read_entry(user_meta_decoder, meta_key, entries[meta_key])
            check_format(meta_key, self._meta.format, FORMAT)
        prefix = self._key("u/")
        for key, value in entries.items():
            if key.startswith(prefix):
                user_id, user = key[len(prefix) :].decode(), read_entry(user_decoder, key, value)
                self._users[user_id] = user
                self._plan(user_id, user)

    def merge(self, record: Record) -> bool:
        """Take in one record; true when it is a trigger."""
        if record.offset <= self._meta.applied:
            return False
        try:
            event = event_decoder.decode(record.value)
        except msgspec.DecodeError:
            self.dropped["undecodable"] += 1  # the joiner puts it to the dead letters
        else:
            self._take(event)
        return self._is_trigger(record.offset)

    def collect(self) -> list[Message]:
        """Give user rows for every flush that the watermark has passed, and item counts."""
        watermark = self.watermark_ms
        if watermark is None or self._meta.flushed_ms is None:
            return []
        until = floor_to(watermark, self._width_ms)
        messages = []
        for moment, users in self._agenda.take(until):
            messages += [message for user_id in users for message in self._flush(user_id, moment)]
        self._meta.flushed_ms = max(until, self._meta.flushed_ms)
        items_until = floor_to(watermark, self._item_width_ms)
        if items_until > self._meta.items_flushed_ms:
            messages += self._tell_items(items_until)
            self._meta.items_flushed_ms = items_until
        return messages

    def settle(self, offset: int) -> Iterable[Write]:
        """Give the changed users, then the partition's own entry, then deletions."""
        self._meta.applied = offset
        changed, self._changed = self._changed, set()
        deleted, self._deleted = self._deleted, set()
        writes = [Write(self._key(f"u/{user_id}"), PACK(self._users[user_id])) for user_id in sorted(changed)]
        writes.append(Write(self._key("m"), PACK(self._meta)))
        writes.extend(Write(self._key(f"u/{user_id}"), None) for user_id in sorted(deleted))
        return writes

    def _key(self, rest: str) -> bytes:
        return f"{self.partition}/{rest}".encode()

    def _is_trigger(self, offset: int) -> bool:
        watermark = self.watermark_ms
        if watermark is not None:
            reached = floor_to(watermark, self._width_ms)
            if self._meta.flushed_ms is None:
                self._meta.flushed_ms = reached
            if reached > self._meta.flushed_ms:
                return True
        return offset % self._trigger_records == 0

    def _take(self, event: AnyEvent) -> None:
        if not self._meta.watermark.admit(event.event_time_ms, self._max_advance_ms, self._outlier_run):
            self.dropped["outlier_time"] += 1
            return
        self.events[type(event).__name__.lower()] += 1
        if isinstance(event, Tick | Refund):  # a refund takes back no behaviour
            return
        if event.event_time_ms < (self.watermark_ms or 0) - self._remember_ms:
            self.dropped["too_late"] += 1
            return
        user = self._users.get(event.user_id)
        if user is None:
            user = self._users[event.user_id] = User()
        name = event_hash(event.event_id)
        if name in user.seen:
            self.dropped["duplicate"] += 1
            return
        user.seen[name] = event.event_time_ms
        self._changed.add(event.user_id)
        self._deleted.discard(event.user_id)
        for count in self._count(user, event):
            self._note(event.user_id, count)
        if not user.buckets:  # nothing else would ever look at the user again
            self._visit_later(event.user_id, event.event_time_ms)

    def _count(self, user: User, event: AnyEvent) -> list[Count]:
        if isinstance(event, Served):
            return take_served(user, event, self._width_ms)
        if isinstance(event, Impression):
            return take_impression(user, event, self._width_ms)
        assert not isinstance(event, Tick | Refund)
        return take_label(user, event, self._width_ms, self._catalogue)

    def _note(self, user_id: str, count: Count) -> None:
        begin, item_id, behaviour = count
        self._agenda.add(user_id, begin, self._meta.flushed_ms or 0)
        item_begin = floor_to(begin, self._item_width_ms)
        counts = self._parts[item_begin].setdefault(item_id, [0] * len(BEHAVIOURS))
        counts[behaviour] += 1
        self._untold[item_begin].add(item_id)

    def _visit_later(self, user_id: str, time_ms: int) -> None:
        kept_ms = max(self._slate_wait_ms, self._remember_ms)
        self._agenda.visit(user_id, floor_to(time_ms + kept_ms, self._width_ms) + 2 * self._width_ms)

    def _plan(self, user_id: str, user: User) -> None:
        """After a restart: what is due, and the item counts. All of them are told again: what was told is unknown."""
        flushed = self._meta.flushed_ms or 0
        for begin, bucket in user.buckets.items():
            self._agenda.add(user_id, begin, flushed)
            item_begin = floor_to(begin, self._item_width_ms)
            for item_id, counts in bucket.items.items():
                part = self._parts[item_begin].setdefault(item_id, [0] * len(BEHAVIOURS))
                for index, count in enumerate(counts):
                    part[index] += count
                self._untold[item_begin].add(item_id)
        if not user.buckets:
            self._visit_later(user_id, max(flushed, *user.seen.values(), 0))

    def _flush(self, user_id: str, moment: int) -> list[Message]:
        user = self._users.get(user_id)
        if user is None or moment <= user.flushed_ms:  # an interrupted trigger has done it already
            return []
        user.flushed_ms = moment
        told = bool(user.buckets)
        row = user_row(user_id, user, moment) if told else None
        self._tidy(user_id, user, moment)
        if row is None:
            return []
        self.rows += 1
        return [Message(FEATURES.name, f"user:{user_id}".encode(), encode(row))]

    def _tidy(self, user_id: str, user: User, moment: int) -> None:
        """Drop what can count no more; at last the user."""
        remembered, awaited = moment - self._remember_ms, moment - self._slate_wait_ms
        user.buckets = {begin: bucket for begin, bucket in user.buckets.items() if begin >= moment - LONGEST_MS}
        for begin, bucket in user.buckets.items():
            if bucket.items and begin + self._item_width_ms < remembered:
                bucket.items = {}
        user.seen = {name: time for name, time in user.seen.items() if time >= remembered}
        gone = [request for request, slate in user.slates.items() if slate.time_ms < awaited]
        for request in gone:
            self.dropped["no_slate"] += len(user.slates.pop(request).waiting)
        if user.buckets or user.seen or user.slates:
            self._changed.add(user_id)
        else:
            del self._users[user_id]
            self._changed.discard(user_id)
            self._deleted.add(user_id)

    def _tell_items(self, until: int) -> list[Message]:
        """Give the item counts that changed, of buckets that are complete, to the partition of each item."""
        chunks: list[list[tuple[int, str]]] = [[] for _ in range(self._partitions)]
        for begin in sorted(begin for begin in self._untold if begin < until):
            for item_id in sorted(self._untold.pop(begin)):
                chunks[zlib.crc32(item_id.encode()) % self._partitions].append((begin, item_id))
        messages = [
            self._partial(target, chunk[start : start + ITEMS_PER_PARTIAL], 0)
            for target, chunk in enumerate(chunks)
            for start in range(0, len(chunk), ITEMS_PER_PARTIAL)
        ]
        messages += [self._partial(target, [], until) for target in range(self._partitions)]
        for begin in [begin for begin in self._parts if begin + 2 * self._item_width_ms < until - self._remember_ms]:
            del self._parts[begin]
        return messages

    def _partial(self, target: int, entries: list[tuple[int, str]], boundary_ms: int) -> Message:
        counts: defaultdict[int, dict[str, list[int]]] = defaultdict(dict)
        for begin, item_id in entries:
            counts[begin][item_id] = self._parts[begin][item_id]
        value = PACK(Partial(self.partition, boundary_ms, counts))
        return Message(PARTIALS_TOPIC, str(self.partition).encode(), value, target)
