"""Topic `truth`: the simulator's own probabilities and faults.

Only tests, benchmarks, the demo's summary and the page's oracle overlay read it; nothing that learns may.
"""

import msgspec

from springtide.contracts.tasks import Task


class TruthMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """What every message of the topic carries."""

    event_time_ms: int


class TruthSlate(TruthMessage, frozen=True, kw_only=True):
    """The real probabilities of one served slate, per position."""

    request_id: str
    user_id: str
    arm: str
    item_ids: list[str]
    examine: list[float]
    """p(examined) of each position."""
    probabilities: dict[Task, list[float]]
    """Real probability per impression and task within the task's attribution window, unconditional on examination."""
    expected_clicks: float
    expected_purchases: float
    expected_revenue: float


class TruthFault(TruthMessage, frozen=True, kw_only=True):
    """A fault was injected into the stream."""

    kind: str
    """duplicate, out_of_order, bot, clock_skew, lost."""
    event_id: str
    detail: str = ""


class TruthScenario(TruthMessage, frozen=True, kw_only=True):
    """The world or the experiment changed: drift, flash sale, ramp, lift."""

    kind: str
    task: Task | None = None
    factor: float = 1.0
    detail: str = ""


AnyTruth = TruthSlate | TruthFault | TruthScenario
