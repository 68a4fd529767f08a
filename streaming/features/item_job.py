"""Rolling features of items: adds up what the partitions of `events` tell of each item."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from springtide.contracts.codec import encode
from springtide.contracts.features import BEHAVIOURS, FeatureRow
from springtide.contracts.topics import FEATURES
from springtide.runtime.settings import milliseconds
from streaming.config import FeaturesConfig
from streaming.core import Message, Record, Write
from streaming.features.state import (
    FORMAT,
    ITEM_KEYS,
    PACK,
    ItemMeta,
    Partial,
    item_bucket_decoder,
    item_meta_decoder,
    larger,
    partial_decoder,
)
from streaming.features.windows import LONGEST_MS, Agenda, window_counts
from streaming.state_format import check_format, check_keys, read_entry

_WIDTH = len(BEHAVIOURS)


class ItemFeatures:
    """See streaming/core.py for the protocol; the input is the internal topic of partial counts.

    A flush is due once every source partition has told all its counts before it.
    """

    def __init__(self, *, partition: int, partitions: int, config: FeaturesConfig) -> None:
        self.partition = partition
        self.rows = 0
        self._partitions, self._trigger_records = partitions, config.trigger_records
        self._flush_ms = milliseconds(config.item_flush)
        self._meta = ItemMeta(-1, {}, 0, FORMAT)
        self._buckets: defaultdict[int, dict[str, list[int]]] = defaultdict(dict)
        self._items: defaultdict[str, dict[int, list[int]]] = defaultdict(dict)
        """The same lists, by item."""
        self._agenda = Agenda(self._flush_ms)
        self._changed: set[int] = set()
        self._deleted: set[int] = set()

    @property
    def applied(self) -> int:
        """Offset of the last completed trigger, -1 before the first."""
        return self._meta.applied

    @property
    def watermark_ms(self) -> int | None:
        """Newest flush that every source has reached."""
        if len(self._meta.boundaries) < self._partitions:
            return None
        return min(self._meta.boundaries.values())

    @property
    def newest_ms(self) -> int | None:
        """Newest flush that any source has reached."""
        return max(self._meta.boundaries.values(), default=None)

    @property
    def known(self) -> int:
        """Items kept."""
        return len(self._items)

    @property
    def over_budget(self) -> bool:
        """Features are bounded by users and items; they have no budget."""
        return False

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over the stored buckets.

        Raises:
            FormatError: they are not of this version.
        """
        check_keys(entries, self.partition, ITEM_KEYS)
        meta_key = self._key("m")
        if meta_key in entries:
            self._meta = read_entry(item_meta_decoder, meta_key, entries[meta_key])
            check_format(meta_key, self._meta.format, FORMAT)
        prefix = self._key("b/")
        for key, value in entries.items():
            if key.startswith(prefix):
                begin = int(key[len(prefix) :])
                for item_id, counts in read_entry(item_bucket_decoder, key, value).items():
                    self._set(begin, item_id, counts)

    def merge(self, record: Record) -> bool:
        """Take in one message; true when it is a trigger."""
        if record.offset <= self._meta.applied:
            return False
        partial = partial_decoder.decode(record.value)
        for begin, items in partial.counts.items():
            for item_id, counts in items.items():
                self._add(partial, begin, item_id, counts)
        if partial.boundary_ms:
            known = self._meta.boundaries.get(partial.source, 0)
            self._meta.boundaries[partial.source] = max(known, partial.boundary_ms)
        return (self.watermark_ms or 0) > self._meta.emitted_ms or record.offset % self._trigger_records == 0

    def collect(self) -> list[Message]:
        """Give a row for every item whose counts change at a flush that all sources have reached."""
        until = self.watermark_ms
        if until is None:
            return []
        messages = [
            self._row(item_id, moment)
            for moment, items in self._agenda.take(until)
            for item_id in items
            if item_id in self._items
        ]
        self.rows += len(messages)
        self._meta.emitted_ms = max(until, self._meta.emitted_ms)
        for begin in [begin for begin in self._buckets if begin + LONGEST_MS + self._flush_ms <= until]:
            self._drop(begin)
        return messages

    def settle(self, offset: int) -> Iterable[Write]:
        """Give the changed buckets, then the partition's own entry, then deletions."""
        self._meta.applied = offset
        changed, self._changed = self._changed, set()
        deleted, self._deleted = self._deleted, set()
        writes = [Write(self._key(f"b/{begin}"), PACK(self._buckets[begin])) for begin in sorted(changed)]
        writes.append(Write(self._key("m"), PACK(self._meta)))
        writes.extend(Write(self._key(f"b/{begin}"), None) for begin in sorted(deleted))
        return writes

    def _key(self, rest: str) -> bytes:
        return f"{self.partition}/{rest}".encode()

    def _add(self, partial: Partial, begin: int, item_id: str, counts: list[int]) -> None:
        held = self._buckets[begin].get(item_id) or [0] * (_WIDTH * self._partitions)
        place = slice(partial.source * _WIDTH, (partial.source + 1) * _WIDTH)
        news = larger(held[place], counts)
        if news != held[place]:
            held[place] = news
            self._set(begin, item_id, held)
            self._changed.add(begin)
            self._deleted.discard(begin)

    def _set(self, begin: int, item_id: str, held: list[int]) -> None:
        self._buckets[begin][item_id] = held
        self._items[item_id][begin] = held
        self._agenda.add(item_id, begin, self._meta.emitted_ms)

    def _row(self, item_id: str, moment: int) -> Message:
        totals = {
            begin: [sum(held[index::_WIDTH]) for index in range(_WIDTH)] for begin, held in self._items[item_id].items()
        }
        row = FeatureRow(entity="item", entity_id=item_id, event_time_ms=moment, values=window_counts(totals, moment))
        return Message(FEATURES.name, f"item:{item_id}".encode(), encode(row))

    def _drop(self, begin: int) -> None:
        for item_id in self._buckets.pop(begin):
            buckets = self._items[item_id]
            del buckets[begin]
            if not buckets:
                del self._items[item_id]
        self._changed.discard(begin)
        self._deleted.add(begin)
