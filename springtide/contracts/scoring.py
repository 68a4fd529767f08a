"""`POST /v1/slates`: what a shop asks and what it gets."""

import msgspec

from springtide.contracts.events import Context
from springtide.contracts.tasks import Task

MAX_SLATE: int = 50


class SlateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for a slate for one user."""

    user_id: str
    event_time_ms: int
    """The shop's own time of the request; windows and features follow it."""
    request_id: str = ""
    """Unique per request; one is made when it is empty. A repeated id gets the same arm and the same exploration."""
    size: int = 10
    context: Context = Context()
    exclude: list[str] = []
    """Items that must not be in the slate."""


class SlateResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A ranked slate; index 0 is position 1."""

    request_id: str
    experiment: str
    arm: str
    other_arms: dict[str, str] = {}
    model_version: str
    policy: str
    fallback: str
    item_ids: list[str]
    scores: dict[Task, list[float]]
    propensities: list[float]
