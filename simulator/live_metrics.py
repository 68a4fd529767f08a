"""What the simulator tells Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge

from simulator.story import Step, StoryState
from springtide.contracts.metric_names import SIMULATED_TIME

CLOCK: Final = Gauge(SIMULATED_TIME, "The simulator's virtual clock.")
EVENTS: Final = Counter("springtide_simulator_events_total", "Events told.", ["type"])
FAULTS: Final = Counter("springtide_simulator_faults_total", "Faults injected.", ["kind"])
SLATES: Final = Counter("springtide_simulator_slates_total", "Slates seen or lost.")
IMPRESSIONS: Final = Counter("springtide_simulator_impressions_total", "Items shown.")
EXPECTED: Final = Gauge(
    "springtide_simulator_expected_per_slate", "True expectation per slate seen, so far this day.", ["what"]
)
GATEWAY_ERRORS: Final = Counter("springtide_simulator_gateway_errors_total", "Requests repeated.", ["reason"])
WAITED: Final = Counter("springtide_simulator_wait_seconds_total", "Wall time that the story waited.", ["stage"])
IMPATIENT: Final = Counter("springtide_simulator_gave_up_waiting_total", "Waits ended without progress.", ["stage"])


class Telling:
    """Moves the counters forward by what has happened since the last call."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._day, self._day_start = -1, {"seen": 0.0}

    def update(self, state: StoryState, step: Step) -> None:
        """Take in a finished step."""
        CLOCK.set(state.now_ms / 1000)
        for name, value in state.counts.items():
            grown = value - self._before.get(name, 0)
            if name.startswith("fault_"):
                FAULTS.labels(kind=name.removeprefix("fault_")).inc(grown)
            elif name == "slates":
                SLATES.inc(grown)
            elif name == "impressions":
                IMPRESSIONS.inc(grown)
            elif name in ("served", "impression", "click", "cart", "purchase"):
                EVENTS.labels(type=name).inc(grown)
        self._before = dict(state.counts)
        totals = {"seen": float(state.counts["seen_slates"]), **state.sums}
        if (day := state.now_ms // 86_400_000) != self._day:
            self._day, self._day_start = day, totals
        seen = totals["seen"] - self._day_start["seen"]
        for what, total in state.sums.items():
            if seen > 0:
                EXPECTED.labels(what=what).set((total - self._day_start[what]) / seen)
