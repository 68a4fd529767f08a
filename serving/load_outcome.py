"""What became of one announcement of a bundle; told by an actor to the driver."""

from typing import Final

import msgspec


class LoadOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A model was taken, or why the old one stays."""

    version: str
    """Served now; if refused, the one that is not."""
    previous_version: str
    """Served before; empty: none."""
    newest_event_ms: int
    """Newest impression that the model served now has learned."""
    load_ms: float
    """Wall time of reading, checking and swapping."""
    refused: str = ""
    """Why the old model stays; empty when the new one serves, or when it did already."""
    rolled_back: str = ""
    """Why the publisher took the previous version back; empty for a step ahead."""


outcome_decoder: Final = msgspec.json.Decoder(LoadOutcome)
