"""The simulator's truth, kept until the rows it belongs to have matured. Shown beside estimates, never learned from."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, Final

from springtide.contracts.truth import AnyTruth, TruthFault, TruthScenario, TruthSlate

_HOUR_MS: Final = 3_600_000


@dataclass(slots=True)
class _Hour:
    slates: int = 0
    clicks: float = 0.0
    purchases: float = 0.0
    revenue: float = 0.0


@dataclass(slots=True)
class TruthBook:
    """Truth by request, by hour, by arm; faults counted, scenario changes listed."""

    max_slates: int = 20_000
    """Slates kept for matching; the oldest go first."""
    slates: OrderedDict[str, TruthSlate] = field(default_factory=OrderedDict)
    hours: dict[int, _Hour] = field(default_factory=dict)
    arms: dict[str, _Hour] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    scenario: list[TruthScenario] = field(default_factory=list)
    unseen: deque[TruthScenario] = field(default_factory=deque)

    def add(self, message: AnyTruth) -> None:
        """Take one message of topic `truth`."""
        if isinstance(message, TruthSlate):
            self._add_slate(message)
        elif isinstance(message, TruthFault):
            self.faults[message.kind] = self.faults.get(message.kind, 0) + 1
        else:
            self.scenario.append(message)
            self.unseen.append(message)

    def _add_slate(self, slate: TruthSlate) -> None:
        if slate.request_id in self.slates:
            return
        self.slates[slate.request_id] = slate
        if len(self.slates) > self.max_slates:
            self.slates.popitem(last=False)
        for total in (
            self.hours.setdefault(slate.event_time_ms // _HOUR_MS, _Hour()),
            self.arms.setdefault(slate.arm, _Hour()),
        ):
            total.slates += 1
            total.clicks += slate.expected_clicks
            total.purchases += slate.expected_purchases
            total.revenue += slate.expected_revenue

    def recent(self, hours: int = 6) -> dict[str, float | None]:
        """Give true expected clicks, purchases and revenue per slate over the newest hours."""
        if not self.hours:
            return {"clicks": None, "purchases": None, "revenue": None}
        newest = max(self.hours)
        chosen = [total for hour, total in self.hours.items() if hour > newest - hours]
        slates = sum(total.slates for total in chosen)
        return {
            "clicks": sum(total.clicks for total in chosen) / slates,
            "purchases": sum(total.purchases for total in chosen) / slates,
            "revenue": sum(total.revenue for total in chosen) / slates,
        }

    def snapshot(self) -> dict[str, Any]:
        """Give the panel's newest state."""
        return {
            "recent": self.recent(),
            "arms": {
                arm: {
                    "slates": total.slates,
                    "clicks": total.clicks / total.slates,
                    "purchases": total.purchases / total.slates,
                }
                for arm, total in sorted(self.arms.items())
            },
            "faults": dict(sorted(self.faults.items())),
            "scenario": [
                {
                    "kind": change.kind,
                    "task": change.task,
                    "factor": change.factor,
                    "detail": change.detail,
                    "event_time_ms": change.event_time_ms,
                }
                for change in self.scenario
            ],
        }
