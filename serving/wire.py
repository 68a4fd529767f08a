"""What gateway and actors tell each other, as JSON bytes: cheaper through Ray than pickled objects, and typed."""

from typing import Final

import msgspec

from springtide.contracts.events import SlateFeatures
from springtide.contracts.scoring import SlateRequest
from springtide.contracts.tasks import Task


class RankedSlate(msgspec.Struct, frozen=True, kw_only=True):
    """One request's slate; index 0 is position 1."""

    model_version: str
    policy: str
    fallback: str = ""
    item_ids: list[str]
    scores: dict[Task, list[float]] = {}
    fused_scores: list[float] = []
    propensities: list[float] = []
    features: SlateFeatures | None = None


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one batch, in the order of its requests."""

    slates: list[RankedSlate]
    seconds: dict[str, float] = {}
    """Wall time of the whole batch per stage."""


class ActorStats(msgspec.Struct, frozen=True, kw_only=True):
    """What an actor says of itself once a second."""

    arm: str
    chain: str
    version: str
    """Of the model served; empty: none yet."""
    newest_event_ms: int
    """Newest impression that the model learned."""
    items: int
    """Items that may be recommended."""
    popular: list[str]
    """Most popular items, for the gateway's fallback."""
    feature_time_ms: int
    """Event time of the newest item feature row in the mirror; 0: none yet."""
    online_errors: int
    """Reads of the online store that failed."""
    bad_messages: int
    """Messages of the catalogue that could not be used."""
    features_ready: bool
    """Whether the online store is open."""
    rss_bytes: int
    cpu_seconds: float
    """Of the actor's process since its start."""


encode: Final = msgspec.json.Encoder().encode
requests_decoder: Final = msgspec.json.Decoder(list[SlateRequest])
ranking_decoder: Final = msgspec.json.Decoder(Ranking)
stats_decoder: Final = msgspec.json.Decoder(ActorStats)
