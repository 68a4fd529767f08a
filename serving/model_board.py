"""What each arm serves, kept by the driver: for GET /v1/models, the metrics, readiness and the page's markers."""

import logging
import threading
from collections.abc import Callable, Mapping

from serving.gateway import metrics
from serving.gateway.app import ArmModel
from serving.load_outcome import LoadOutcome
from serving.wire import ActorStats
from springtide.contracts.bundle import ModelSwap

_log = logging.getLogger(__name__)


class ModelBoard:
    """Safe to use from any thread."""

    def __init__(
        self,
        chains: Mapping[str, str],
        *,
        report: Callable[[ModelSwap], None],
        now_ms: Callable[[], int],
        request_time_ms: Callable[[], int],
    ) -> None:
        """Begin with arms that have answered nothing.

        Args:
            chains: chain per arm.
            report: tells the page of a swap.
            now_ms: wall time.
            request_time_ms: newest event time of a request.
        """
        self._chains, self._report, self._now_ms, self._request_time_ms = chains, report, now_ms, request_time_ms
        self._lock = threading.Lock()
        self._versions = dict.fromkeys(chains, "")
        self._rolled_back = dict.fromkeys(chains, "")
        self._stats: dict[str, ActorStats] = {}
        self._process_ids: dict[str, int] = {}

    def models(self) -> list[ArmModel]:
        """Tell what every arm serves, as last heard."""
        with self._lock:
            stats, versions, rolled_back = dict(self._stats), dict(self._versions), dict(self._rolled_back)
        return [
            ArmModel(
                arm=arm,
                chain=chain,
                version=versions[arm],
                newest_event_ms=stats[arm].newest_event_ms if arm in stats else 0,
                items=stats[arm].items if arm in stats else 0,
                rolled_back=rolled_back[arm],
            )
            for arm, chain in self._chains.items()
        ]

    def rolled_back(self) -> dict[str, str]:
        """Tell, by arm, why a version was taken back; arms that serve what came after are left out."""
        with self._lock:
            return {arm: reason for arm, reason in self._rolled_back.items() if reason}

    def heard(self, stats: Mapping[str, ActorStats]) -> None:
        """Take the actors' reports. What a new process serves it has found on disk; all else `loaded` tells."""
        with self._lock:
            self._stats = dict(stats)
        for arm, found in stats.items():
            metrics.ITEMS.labels(arm).set(found.items)
            metrics.FEATURE_TIME.labels(arm).set(found.feature_time_ms / 1000)
            metrics.ONLINE_ERRORS.labels(arm).set(found.online_errors)
            metrics.BAD_MESSAGES.labels(f"catalogue-{arm}").set(found.bad_messages)
            metrics.ACTOR_CPU.labels(arm).set(found.cpu_seconds)
            metrics.ACTOR_RSS.labels(arm).set(found.rss_bytes)
            if found.version:
                metrics.MODEL_NEWEST.labels(arm).set(found.newest_event_ms / 1000)
            if self._process_ids.get(arm) != found.process_id:
                self._process_ids[arm] = found.process_id
                self._started(arm, found)

    def _started(self, arm: str, found: ActorStats) -> None:
        if found.version:
            outcome = LoadOutcome(
                version=found.version,
                previous_version=self._versions[arm],
                newest_event_ms=found.newest_event_ms,
                load_ms=0.0,
            )
            self._changed(arm, outcome)

    def loaded(self, arm: str, outcome: LoadOutcome) -> None:
        """Take an actor's answer to an announcement."""
        if outcome.refused:
            metrics.SWAPS.labels(arm, "refused").inc()
            _log.warning("arm %s keeps model %s: %s", arm, outcome.previous_version or "none", outcome.refused)
            self._tell(arm, outcome)
        else:
            metrics.MODEL_NEWEST.labels(arm).set(outcome.newest_event_ms / 1000)
            self._changed(arm, outcome)

    def _changed(self, arm: str, outcome: LoadOutcome) -> None:
        with self._lock:
            if self._versions[arm] == outcome.version:
                return
            self._versions[arm], self._rolled_back[arm] = outcome.version, outcome.rolled_back
        metrics.SWAPS.labels(arm, "rolled_back" if outcome.rolled_back else "swapped").inc()
        if outcome.rolled_back:
            _log.warning("arm %s goes back to model %s: %s", arm, outcome.version, outcome.rolled_back)
        else:
            _log.info("arm %s serves model %s", arm, outcome.version, extra={"load_ms": outcome.load_ms})
        self._tell(arm, outcome)

    def _tell(self, arm: str, outcome: LoadOutcome) -> None:
        self._report(
            ModelSwap(
                arm=arm,
                chain=self._chains[arm],
                version=outcome.version,
                previous_version=outcome.previous_version,
                event_time_ms=self._request_time_ms(),
                wall_time_ms=self._now_ms(),
                newest_event_ms=outcome.newest_event_ms,
                load_ms=outcome.load_ms,
                refused=outcome.refused,
                rolled_back=outcome.rolled_back,
            )
        )
