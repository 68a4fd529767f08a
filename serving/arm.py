"""One experiment arm in a process of its own: it keeps items, features and a model at hand, and ranks.

A plain class; serving.cluster makes a Ray actor of it. Ray gives each concurrency group a thread: `rank` scores,
`load` takes models, `watch` reports. Threads of its own follow the catalogue and renew features. The module is
also imported by the driver, which needs the class but not torch: hence the import in the constructor.
"""

import logging
import os
import resource
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.config import ArmConfig, ServingConfig
from serving.following import Follower
from serving.item_source import ItemSource
from serving.ranking.ranker import Ranker
from serving.wire import ActorStats, FeatureState, Ranking, encode, requests_decoder
from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.codec import decode
from springtide.contracts.scoring import SlateRequest
from springtide.contracts.topics import CATALOGUE
from springtide.feature_join.online import OnlineFeatures, UserFeatures
from springtide.runtime.config import KafkaConfig
from springtide.runtime.log_setup import set_up_logging

_log = logging.getLogger(__name__)

POPULAR_KEPT = 200
"""Items in the gateway's fallback list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmSettings:
    """All that an arm needs, as it is sent to its process."""

    arm: ArmConfig
    serving: ServingConfig
    kafka: KafkaConfig
    feature_folder: Path
    """Feast's repository."""
    bundle_root: Path
    log_level: str = "INFO"


class Arm:
    """Ranks for one arm. The constructor loads the newest model on disk: a restarted actor is as good as before."""

    def __init__(self, settings: ArmSettings) -> None:
        import torch

        from serving.models.swap import ModelSlot

        torch.set_num_threads(1)
        set_up_logging(f"serving-{settings.arm.name}", settings.log_level)
        self._settings = settings
        self._ranker = Ranker(
            arm=settings.arm, counts=settings.serving.candidates, cold_epsilon=settings.serving.cold_epsilon
        )
        self._source = ItemSource(settings.serving.mirror_items)
        self._users: OnlineFeatures | None = None
        self._items: OnlineFeatures | None = None
        self._slot = ModelSlot(
            settings.bundle_root, settings.arm.chain, max_score_shift=settings.serving.max_score_shift
        )
        self._online_errors = 0
        if settings.arm.ranking == "model":
            self._slot.take_newest()
        self._follower = Follower(settings.kafka, [CATALOGUE.name], self._source.take).start()
        for work in (self._renew, self._open_features):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()

    def rank(self, payload: bytes) -> bytes:
        """Rank a batch: encoded SlateRequests to an encoded Ranking; no slates when there are no items yet."""
        requests: list[SlateRequest] = requests_decoder.decode(payload)
        model, table = self._slot.current, self._source.table  # one reference each: no torn reads
        if not len(table):
            return encode(Ranking(slates=[]))
        started = time.perf_counter()
        users = self._read_users(requests)
        read = time.perf_counter() - started
        ranking = self._ranker.rank(requests, table, users, model)
        for slate in ranking.slates:
            self._source.shown(slate.item_ids)
        ranking.seconds["users"] = read
        return encode(ranking)

    def load(self, update: bytes) -> bytes:
        """Take an announced bundle: an encoded ModelUpdate to an encoded LoadOutcome."""
        return encode(self._slot.take(decode(update, ModelUpdate, where="model-updates")))

    def stats(self) -> bytes:
        """Tell what is served and what it costs: an encoded ActorStats."""
        model, table = self._slot.current, self._source.table
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return encode(
            ActorStats(
                arm=self._settings.arm.name,
                chain=self._settings.arm.chain,
                process_id=os.getpid(),
                version=model.version if model else "",
                newest_event_ms=model.state.manifest.newest_event_ms if model else 0,
                items=len(table) if self._follower.caught_up.is_set() else 0,
                popular=[table.shelf.ids[row] for row in table.popular[:POPULAR_KEPT].tolist()],
                feature_time_ms=self._source.feature_time_ms,
                online_errors=self._online_errors,
                bad_messages=self._follower.bad_messages,
                features=self._feature_state(),
                rss_bytes=_resident_bytes(),
                cpu_seconds=usage.ru_utime + usage.ru_stime,
            )
        )

    def _feature_state(self) -> FeatureState:
        if self._users is not None:
            return "open"
        return "opening" if (self._settings.feature_folder / "feature_store.yaml").exists() else "none"

    def _read_users(self, requests: Sequence[SlateRequest]) -> dict[str, UserFeatures]:
        if self._users is None:
            return {}
        try:
            return {request.user_id: self._users.user(request.user_id, request.event_time_ms) for request in requests}
        except Exception:  # noqa: BLE001 -- Feast's stores raise what they like; counted, and served without
            self._online_errors += 1
            _log.exception("online features of %d users: served without", len(requests))
            return {}

    def _renew(self) -> None:
        every = self._settings.serving.mirror_refresh.total_seconds()
        while True:
            try:
                self._source.refresh(self._items.items if self._items else None)
            except Exception:  # noqa: BLE001 -- as above; the table before serves on
                self._online_errors += 1
                _log.exception("online features of items: keeping those before")
            time.sleep(every if self._items else min(every, 0.2))

    def _open_features(self) -> None:
        """Open the readers once their repository is there. It imports Feast: seconds, in which ranking goes on."""
        folder = self._settings.feature_folder
        while self._users is None:
            try:
                items = OnlineFeatures(folder, wait_seconds=60.0)
                self._items, self._users = items, OnlineFeatures(folder)
            except Exception:  # noqa: BLE001 -- as above; tried again
                self._online_errors += 1
                _log.exception("online store: expected to open it; trying again")
                time.sleep(1.0)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
