"""Where a job's state rests between two lives of its cores.

A core holds its partition's state itself; the store is what it begins from. Both stores here are written by the job,
never through Faust's table: Faust sends each change of a table alone, 100 µs each, and writes the local copy first.

- `MemoryStore` holds what recovery has read from the changelog until the core takes it, and then nothing: state is
  not kept twice. After any change of assignment the changelog is read again.
- `RocksStore` (rocks_store.py) keeps entries on disk, so that a start after a clean stop reads nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from faust.stores import base
from faust.types import TP

from streaming.shell.failpoints import reach
from streaming.shell.producer import Pair


class EntryStore(base.Store):  # type: ignore[misc]
    """What both have in common; Faust knows them by this interface."""

    def recovered(self, partition: int, pairs: Iterable[Pair], last_offset: int) -> None:
        """Take over records of the changelog, up to an offset of it."""
        raise NotImplementedError

    def written(self, partition: int, pairs: Sequence[Pair], last_offset: int) -> None:
        """Take over what the changelog has just acknowledged."""
        raise NotImplementedError

    def take(self, partition: int) -> dict[bytes, bytes]:
        """Give a partition's entries to its core; the caller owns them."""
        raise NotImplementedError

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        """Take over what Faust's recovery has read: batches of records (record_batch.py)."""
        for event in batch:
            message = event.message
            pairs = [(record.key, record.value) for record in message.records]
            self.recovered(message.partition, pairs, message.offset)
            reach("recovering")

    def reset_state(self) -> None:
        """Faust's wish to begin afresh; no state of ours is thrown away for it."""

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Not offered: the changelog is the backup."""

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Not offered: the changelog is the backup."""


class MemoryStore(EntryStore):
    """Entries on their way from the changelog to a core."""

    def __post_init__(self) -> None:
        self.entries: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)

    def recovered(self, partition: int, pairs: Iterable[Pair], last_offset: int) -> None:
        """Keep what is the newest of each key."""
        entries = self.entries[partition]
        for key, value in pairs:
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value

    def written(self, partition: int, pairs: Sequence[Pair], last_offset: int) -> None:
        """Keep nothing: the core has it, and the changelog."""

    def take(self, partition: int) -> dict[bytes, bytes]:
        """Give a partition's entries, and forget them."""
        return self.entries.pop(partition, {})

    def persisted_offset(self, tp: TP) -> int:
        """Say that nothing is here, so that all of the changelog is read."""
        return -1

    async def on_rebalance(self, *_: Any, **__: Any) -> None:
        """Forget what was read for the assignment before."""
        self.entries.clear()
