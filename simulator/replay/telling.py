"""From log rows to events. Pure.

An exposure is a slate of one item that was served and shown. A log of views knows no item that was shown and not
opened, so clicks stay empty unless the mapping names them: the click task then has no positives and means nothing.
"""

from collections.abc import Callable
from typing import Final

from simulator.replay.log import LogRow
from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Purchase, Served, SlateFeatures

PRODUCER: Final = "replay-0"


class LogTeller:
    """Turns rows, given in order of time, into events; a label names its user's last exposure of the item."""

    def __init__(self, features: Callable[[LogRow], SlateFeatures | None]) -> None:
        """`features` gives what a server would have logged with an exposure."""
        self._features = features
        self._last: dict[tuple[str, str], str] = {}
        self._born: dict[str, int] = {}
        self._number = 0
        self.counts = {"exposures": 0, "labels": 0, "orphans": 0}

    def tell(self, row: LogRow) -> tuple[list[AnyEvent], CatalogueItem | None]:
        """Give a row's events, and the item's entry when the log names it for the first time."""
        number, self._number = self._number, self._number + 1
        item = None
        if row.item_id not in self._born:
            self._born[row.item_id] = row.time_ms
            item = CatalogueItem(
                item_id=row.item_id, category=row.category, price=row.price, born_ms=row.time_ms, available=True,
                event_time_ms=row.time_ms,
            )  # fmt: skip
        return (self._exposure(row, number) if row.meaning == "exposure" else [self._label(row, number)]), item

    def born_ms(self, item_id: str) -> int:
        """Give when the log first named an item, 0 when it has not yet."""
        return self._born.get(item_id, 0)

    def _exposure(self, row: LogRow, number: int) -> list[AnyEvent]:
        request_id = f"log-{number}"
        self._last[row.user_id, row.item_id] = request_id
        self.counts["exposures"] += 1
        served = Served(
            event_id=f"{request_id}.s", user_id=row.user_id, event_time_ms=row.time_ms, producer=PRODUCER,
            request_id=request_id, experiment="replay", arm="logged", model_version="", policy="logged",
            item_ids=[row.item_id], propensities=[1.0], features=self._features(row),
        )  # fmt: skip
        shown = Impression(
            event_id=f"{request_id}.i", user_id=row.user_id, event_time_ms=row.time_ms, producer=PRODUCER,
            request_id=request_id, positions=[1],
        )  # fmt: skip
        return [served, shown]

    def _label(self, row: LogRow, number: int) -> AnyEvent:
        request_id = self._last.get((row.user_id, row.item_id), "")
        self.counts["labels"] += 1
        self.counts["orphans"] += not request_id
        event_id = f"log-{number}.{row.meaning}"
        if row.meaning == "purchase":
            return Purchase(
                event_id=event_id, user_id=row.user_id, event_time_ms=row.time_ms, producer=PRODUCER,
                request_id=request_id, item_id=row.item_id, price=row.price,
            )  # fmt: skip
        kind = Click if row.meaning == "click" else Cart
        return kind(
            event_id=event_id, user_id=row.user_id, event_time_ms=row.time_ms, producer=PRODUCER,
            request_id=request_id, item_id=row.item_id,
        )  # fmt: skip
