"""Topic `catalogue`: the items that may be recommended, newest state per item."""

import msgspec


class CatalogueItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item's newest state; an item that is not available is never a candidate."""

    item_id: str
    category: str
    price: float
    born_ms: int
    """Event time at which the item appeared."""
    available: bool
    event_time_ms: int
    schema_version: int = 1
