"""Experiments: per arm and metric the estimate with an interval that allows peeking, SRM, and a word for it all."""

from dataclasses import dataclass, field
from typing import Any, Final

from springtide.contracts.samples import Sample
from springtide.contracts.topics import DAY_MS
from springtide.experiments.lift import Ratio, ratio_estimate, relative_lift
from springtide.experiments.moments import Moments
from springtide.experiments.sequential import SequentialPlan, confidence_sequence
from springtide.experiments.srm import SequentialSrm

METRICS: Final = {
    "clicks per slate": Ratio("clicks", "slates"),
    "carts per slate": Ratio("carts", "final_slates"),
    "purchases per slate": Ratio("purchases", "final_slates"),
    "revenue per slate": Ratio("revenue", "final_slates"),
}
"""Clicks close with the observed row, the others with the final row: an open window never counts."""

COLUMNS: Final = ("slates", "clicks", "final_slates", "carts", "purchases", "revenue")
SRM_ALPHA: Final = 0.001
SRM_CONCENTRATION: Final = 200.0
"""Looks for gross mismatches in a day's users rather than for small ones in millions."""


@dataclass(slots=True)
class _Arm:
    users: dict[str, list[float]] = field(default_factory=dict)

    def add(self, user_id: str, column: str, value: float) -> None:
        totals = self.users.setdefault(user_id, [0.0] * len(COLUMNS))
        totals[COLUMNS.index(column)] += value

    def moments(self, needs: str | None) -> Moments:
        """Moments over the users that have entered the metric's denominator."""
        place = COLUMNS.index(needs) if needs else 0
        rows = [totals for totals in self.users.values() if totals[place] > 0]
        return Moments.of(**{name: [totals[index] for totals in rows] for index, name in enumerate(COLUMNS)})


@dataclass(slots=True)
class _Experiment:
    arms: dict[str, _Arm] = field(default_factory=dict)
    days: dict[int, dict[str, set[str]]] = field(default_factory=dict)
    """Event-time day to arm to users seen."""
    mismatch_ms: int = 0
    """Event time at which a mismatch was first found; 0: none."""
    frozen: dict[str, Any] = field(default_factory=dict)
    """The table as it was on the last look before the mismatch."""


class ExperimentPanel:
    """Counts per user and arm; users are what was randomised."""

    def __init__(self, *, level: float, expected_users: int = 3_000) -> None:
        self._plan = SequentialPlan(alpha=level, expected_users=expected_users)
        self._experiments: dict[str, _Experiment] = {}

    def add(self, rows: list[Sample]) -> list[tuple[str, int]]:
        """Take new rows, each once; returns (experiment, event time) of each mismatch found by them."""
        for row in rows:
            memberships = {**row.other_arms, **({row.experiment: row.arm} if row.experiment else {})}
            for name, arm in memberships.items():
                experiment = self._experiments.setdefault(name, _Experiment())
                _count(experiment, arm, row)
        return [found for name, one in self._experiments.items() for found in _check_ratio(name, one)]

    def snapshot(self) -> list[dict[str, Any]]:
        """Give each experiment's newest table."""
        return [self._table(name, one) for name, one in sorted(self._experiments.items())]

    def _table(self, name: str, one: _Experiment) -> dict[str, Any]:
        if one.mismatch_ms and one.frozen:
            return {**one.frozen, "status": "unhealthy (SRM)", "srm_p": _day_p(one), "mismatch_ms": one.mismatch_ms}
        arms = sorted(one.arms)
        metrics = self._metrics(one, arms)
        table = {
            "experiment": name,
            "arms": {arm: len(one.arms[arm].users) for arm in arms},
            "srm_p": _day_p(one),
            "mismatch_ms": one.mismatch_ms,
            "metrics": metrics,
            "status": "unhealthy (SRM)" if one.mismatch_ms else _status(metrics),
        }
        one.frozen = table
        return table

    def _metrics(self, one: _Experiment, arms: list[str]) -> list[dict[str, Any]]:
        if len(arms) < 2:
            return []
        found = []
        control, others = arms[0], arms[1:]
        for title, metric in METRICS.items():
            base = ratio_estimate(one.arms[control].moments(metric.denominator), metric)
            for arm in others:
                estimate = ratio_estimate(one.arms[arm].moments(metric.denominator), metric)
                lift = None if base is None or estimate is None else relative_lift(base, estimate)
                sequence = None if lift is None else confidence_sequence(lift, self._plan)
                found.append(
                    {
                        "metric": title,
                        "arm": arm,
                        "baseline": control,
                        "baseline_value": None if base is None else base.value,
                        "value": None if estimate is None else estimate.value,
                        "users": 0 if estimate is None else estimate.users,
                        "lift": None if lift is None else lift.value,
                        "low": None if sequence is None else sequence.low,
                        "high": None if sequence is None else sequence.high,
                        "called": sequence is not None and sequence.excludes_zero,
                    }
                )
        return found


def _count(experiment: _Experiment, arm: str, row: Sample) -> None:
    totals = experiment.arms.setdefault(arm, _Arm())
    if row.phase == "observed":
        totals.add(row.user_id, "slates", 1.0)
        totals.add(row.user_id, "clicks", float(sum(row.labels["click"])))
        day = experiment.days.setdefault(row.impression_time_ms // DAY_MS, {})
        day.setdefault(arm, set()).add(row.user_id)
        for old in [number for number in experiment.days if number < max(experiment.days) - 1]:
            del experiment.days[old]
    elif row.phase == "final":
        totals.add(row.user_id, "final_slates", 1.0)
        totals.add(row.user_id, "carts", float(sum(row.labels["cart"])))
        totals.add(row.user_id, "purchases", float(sum(row.labels["purchase"])))
        totals.add(row.user_id, "revenue", float(sum(row.revenue)))


def _day_p(one: _Experiment) -> float | None:
    """Give the mismatch p-value of the newest day's users, equal shares planned."""
    if not one.days or len(one.arms) < 2:
        return None
    users = one.days[max(one.days)]
    test = SequentialSrm(concentration=SRM_CONCENTRATION)
    test.start_phase(dict.fromkeys(one.arms, 1.0))
    return test.add({arm: len(users.get(arm, ())) for arm in one.arms})


def _check_ratio(name: str, one: _Experiment) -> list[tuple[str, int]]:
    p_value = _day_p(one)
    if one.mismatch_ms or p_value is None or p_value >= SRM_ALPHA:
        return []
    one.mismatch_ms = max(one.days) * DAY_MS
    return [(name, one.mismatch_ms)]


def _status(metrics: list[dict[str, Any]]) -> str:
    if not metrics:
        return "no data"
    if any(row["called"] for row in metrics):
        return "ready"
    if all(row["lift"] is None for row in metrics if not row["metric"].startswith("clicks")):
        return "waiting for labels"
    return "collecting"
