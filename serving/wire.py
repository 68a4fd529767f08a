"""What gateway and actors tell each other, as JSON bytes: cheaper through Ray than pickled objects, and typed."""

from typing import Final, Literal

import msgspec

from springtide.contracts.events import SlateFeatures
from springtide.contracts.scoring import SlateRequest
from springtide.contracts.tasks import Task

FeatureState = Literal["none", "opening", "open"]


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
    process_id: int
    """Another one than before: the actor was restarted."""
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
    features: FeatureState
    """How far the online store is. While it opens, Feast's import takes most of the processor; while there is none,
    slates are ranked without features."""
    rss_bytes: int
    cpu_seconds: float
    """Of the actor's process since its start."""


encode: Final = msgspec.json.Encoder().encode
requests_decoder: Final = msgspec.json.Decoder(list[SlateRequest])
ranking_decoder: Final = msgspec.json.Decoder(Ranking)
stats_decoder: Final = msgspec.json.Decoder(ActorStats)
