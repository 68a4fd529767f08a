"""Topic `samples`: joined slates at one phase, columns per item, keyed by request_id.

A row is deterministic: the same events give the same `row_id` and the same payload, byte for byte, however
often the joiner crashed. Whoever learns drops repeated `row_id`s.
"""

from typing import Literal

import msgspec

from springtide.contracts.events import Context, SlateFeatures
from springtide.contracts.tasks import Task

Phase = Literal["observed", "corrected", "final", "aged", "refunded"]
"""observed: every shown item at the observation window. corrected: one item, one late positive.
final: every shown item at the attribution window, labels closed. aged: every shown item at one of `labels.ages`.
refunded: one item whose purchase was taken back after the final row; what its purchase label and revenue are now.
Whoever reads passes over the phases that it does not know."""

Maturity = Literal["open", "observed", "closed"]
"""How complete a task's labels are in this row. open: younger than its observation window, a 0 means nothing.
observed: past its observation window, a 0 may still become 1. closed: past its attribution window, final."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One joined slate at one phase. N shown items; every column has N values in position order."""

    row_id: str
    """`request_id:phase`; `request_id:corrected:task:item_id`; `request_id:aged:age_ms`; and
    `request_id:refunded:event_id` of the purchase."""
    phase: Phase
    request_id: str
    user_id: str
    experiment: str
    arm: str
    other_arms: dict[str, str] = {}
    model_version: str
    fallback: str = ""
    context: Context
    impression_time_ms: int
    age_ms: int
    """Nominal age of the labels: the window that closed, or the late label's delay."""
    item_ids: list[str]
    positions: list[int]
    labels: dict[Task, list[int]]
    """0 or 1 per item; a corrected row holds only the task that changed."""
    delays_ms: dict[Task, list[int]]
    """Label time minus impression time per item, -1 where there is no label."""
    maturity: dict[Task, Maturity]
    revenue: list[float] = []
    """Price times quantity of what was bought per item, 0 where nothing was; empty in corrected rows."""
    scores: dict[Task, list[float]] = {}
    """What serving predicted per item."""
    propensities: list[float] = []
    features: SlateFeatures | None = None
    """What serving used. In observed rows, and in corrected and aged ones while the joiner keeps it; a final row
    leaves it to its observed row or to Feast, unless there are no observed rows (`labels.policy = "close"`) or
    `labels.final_features` is set."""
    negative_keep: float = 1.0
    """Share of the items without any label that are kept, by a hash of request and item; items with one all are."""
    schema_version: int = 1
