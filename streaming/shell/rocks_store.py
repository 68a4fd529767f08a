"""Entries on local disk, one RocksDB per partition.

A partition's database is at all times a prefix of its changelog: it is written after the changelog's acknowledgement,
together with the offset that it goes up to. So a start reads only what lies behind that offset. It is believed only
if a mark says that it was closed in good order, lately, and by this process's last life; otherwise it is deleted and
read again whole. (After a power cut the disk may be torn; after a day the changelog may have compacted deletions away
that this copy has not seen.)
"""

import logging
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from faust.types import TP
from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from streaming.shell.producer import Pair
from streaming.shell.stores import EntryStore

_log = logging.getLogger(__name__)

OFFSET_KEY: Final = b"\xff changelog offset"
"""No entry's key begins so: keys begin with the partition's number."""
MARK_AGE_S: Final = 12 * 3600
"""Half of the 24 hours for which Kafka keeps a deletion in a compacted topic (delete.retention.ms)."""
_BLOCK_CACHE: Final = 64 * 2**20
_WRITE_BUFFER: Final = 16 * 2**20


class RocksStore(EntryStore):
    """One database per partition that this process owns."""

    def __post_init__(self) -> None:
        self._open: dict[int, Rdict] = {}
        self._cache = Cache(_BLOCK_CACHE)
        self.wiped: list[int] = []
        """Partitions whose database was not to be believed."""

    def recovered(self, partition: int, pairs: Iterable[Pair], last_offset: int) -> None:
        """Write records and the offset that they go up to, all or nothing."""
        batch = WriteBatch(raw_mode=True)
        for key, value in pairs:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(OFFSET_KEY, str(last_offset).encode())
        self._database(partition).write(batch)

    def written(self, partition: int, pairs: Sequence[Pair], last_offset: int) -> None:
        """Write what the changelog has acknowledged."""
        self.recovered(partition, pairs, last_offset)

    def take(self, partition: int) -> dict[bytes, bytes]:
        """Read all entries of a partition."""
        return {key: value for key, value in self._database(partition).items() if key != OFFSET_KEY}

    def persisted_offset(self, tp: TP) -> int:
        """Say up to which offset of the changelog the database goes."""
        offset = self._database(tp.partition).get(OFFSET_KEY)
        return -1 if offset is None else int(offset)

    async def on_rebalance(self, assigned: set[TP], *_: Any, **__: Any) -> None:
        """Delete the databases of partitions that are now another's: they are out of date from here on."""
        mine = {tp.partition for tp in assigned if tp.topic == self.table.changelog_topic_name}
        for partition in self._open.keys() - mine:
            self._open.pop(partition).close()
            shutil.rmtree(self._folder(partition))

    async def on_stop(self) -> None:
        """Close everything and mark it as whole."""
        for partition, database in self._open.items():
            database.close()
            self._mark(partition).touch()
        self._open.clear()

    def _database(self, partition: int) -> Rdict:
        if partition not in self._open:
            self._open[partition] = self._open_database(partition)
        return self._open[partition]

    def _open_database(self, partition: int) -> Rdict:
        folder, mark = self._folder(partition), self._mark(partition)
        if folder.exists() and not _is_fresh(mark):
            _log.warning("%s was not closed in good order; its state is read from the changelog again", folder.name)
            self.wiped.append(partition)
            shutil.rmtree(folder)
        mark.unlink(missing_ok=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Rdict(str(folder), options=self._options(), access_type=AccessType.read_write())

    def _options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(_WRITE_BUFFER)
        options.set_max_write_buffer_number(2)
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        options.set_block_based_table_factory(blocks)
        return options

    def _folder(self, partition: int) -> Path:
        return Path(self.app.conf.tabledir) / f"{self.table_name}-{partition}.rocksdb"

    def _mark(self, partition: int) -> Path:
        folder = self._folder(partition)
        return folder.with_name(f"{folder.name}.whole")


def _is_fresh(mark: Path) -> bool:
    return mark.exists() and time.time() - mark.stat().st_mtime < MARK_AGE_S
