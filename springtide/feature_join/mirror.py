"""All items' features in memory, renewed by a thread, so that a request only gathers from an array."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from springtide.feature_join.online import ItemFeatures

_log = logging.getLogger(__name__)


class ReadsItems(Protocol):
    """What the mirror needs of OnlineFeatures."""

    def items(self, item_ids: Sequence[str]) -> ItemFeatures:
        """Read many items."""
        ...


class ItemMirror:
    """Holds the newest ItemFeatures; whoever reads takes one reference and never sees a half-renewed table."""

    def __init__(
        self, open_reader: Callable[[], ReadsItems], item_ids: Callable[[], Sequence[str]], every_seconds: float
    ) -> None:
        """Prepare; nothing is read before `start`.

        Args:
            open_reader: makes the reader in the mirror's own thread, such as `lambda: OnlineFeatures(path)`.
            item_ids: gives the items to mirror; asked at each round, so that a new item joins.
            every_seconds: wall time between the end of one round and the begin of the next.
        """
        self._open, self._item_ids, self._every = open_reader, item_ids, every_seconds
        self._table: ItemFeatures | None = None
        self._failure: Exception | None = None
        self.failed_rounds = 0
        self._stop, self._first = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="item-mirror", daemon=True)

    def start(self, wait_seconds: float = 60.0) -> "ItemMirror":
        """Begin, and wait for the first table.

        Raises:
            TimeoutError: no table in `wait_seconds`.
            Exception: whatever made the reader impossible to open or read.
        """
        self._thread.start()
        if not self._first.wait(wait_seconds):
            raise TimeoutError(f"item mirror: expected a first table within {wait_seconds} s, got none; see its log")
        if self._failure is not None:
            raise self._failure
        return self

    @property
    def table(self) -> ItemFeatures:
        """The newest table; after a failed round the one before it."""
        if self._table is None:
            raise RuntimeError("item mirror: expected a started mirror, got none; call start() first")
        return self._table

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            reader = self._open()
            self._table = reader.items(self._item_ids())
        except Exception as error:  # noqa: BLE001 -- handed to start(), which raises it
            self._failure = error
            return
        finally:
            self._first.set()
        while not self._stop.wait(self._every):
            try:
                self._table = reader.items(self._item_ids())
            except Exception:  # noqa: BLE001 -- counted; an old table serves better than none
                self.failed_rounds += 1
                _log.exception("item mirror: keeping the table before")
