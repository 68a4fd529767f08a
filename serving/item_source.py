"""Where an arm's items come from: the catalogue topic, and their rolling counts from Feast's online store."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from serving.ranking.item_table import ItemTable, Shelf, build_item_table, build_shelf
from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.codec import decode
from springtide.contracts.features import COUNTS
from springtide.feature_join.online import ItemFeatures

_log = logging.getLogger(__name__)

ReadItems = Callable[[Sequence[str]], ItemFeatures]


class ItemSource:
    """Holds the newest ItemTable. One thread feeds `take`, one calls `refresh`, one reads `table` and tells `shown`."""

    def __init__(self, items_per_refresh: int) -> None:
        self.table: ItemTable = build_item_table(build_shelf(()), np.zeros((0, len(COUNTS))))
        """Replaced whole: who ranks takes one reference."""
        self.feature_time_ms = 0
        """Event time of the newest row read."""
        self._most = items_per_refresh
        self._lock = threading.Lock()
        self._items: dict[str, CatalogueItem] = {}
        self._changed = False
        self._counts: dict[str, NDArray[np.float64]] = {}
        self._shown: deque[str] = deque(maxlen=10_000)
        self._turn: deque[str] = deque()

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take one message of topic `catalogue`; a tombstone ends an item.

        Raises:
            ContractError: it is no catalogue item.
        """
        item = None if value is None else decode(value, CatalogueItem, where="catalogue")
        with self._lock:
            if item is None:
                self._items.pop(key.decode(), None)
            else:
                self._items[item.item_id] = item
            self._changed = True

    def shown(self, item_ids: Iterable[str]) -> None:
        """Tell which items were served: their counts change first, so they are read first."""
        self._shown.extend(item_ids)

    def refresh(self, read: ReadItems | None) -> None:
        """Read some items' features and make a new table.

        Args:
            read: of the online store; None while there is none.
        """
        shelf = self._shelf()
        if read is not None and len(shelf):
            wanted = self._next_ids(shelf.place)
            found = read(wanted)
            for index, item_id in enumerate(found.item_ids):
                self._counts[item_id] = found.counts[index]
            self.feature_time_ms = max(self.feature_time_ms, int(found.feature_time_ms.max(initial=0)))
        elif shelf is self.table.shelf:
            return
        counts = np.zeros((len(shelf), len(COUNTS)))
        for item_id, values in self._counts.items():
            place = shelf.place.get(item_id)
            if place is not None:
                counts[place] = values
        self.table = build_item_table(shelf, counts)

    def _shelf(self) -> Shelf:
        with self._lock:
            if not self._changed:
                return self.table.shelf
            self._changed = False
            items = list(self._items.values())
        return build_shelf(items)

    def _next_ids(self, known: Iterable[str]) -> list[str]:
        """Choose what to read: items shown since the last time, then the others in turn."""
        wanted: dict[str, None] = {}
        while self._shown and len(wanted) < self._most:
            wanted[self._shown.popleft()] = None
        if not self._turn:
            self._turn.extend(known)
        while self._turn and len(wanted) < self._most:
            wanted[self._turn.popleft()] = None
        return list(wanted)
