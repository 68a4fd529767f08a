"""One batch of requests to slates: candidates, features, scores, fusion, policy."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.config import ArmConfig
from serving.ranking.candidates import CandidateCounts, choose_candidates
from serving.ranking.item_table import ItemTable
from serving.ranking.policy import place
from serving.wire import RankedSlate, Ranking
from springtide.contracts.events import SlateFeatures
from springtide.contracts.features import FEATURE_SET_VERSION, ITEM_FEATURES
from springtide.contracts.scoring import SlateRequest
from springtide.contracts.tasks import TASKS
from springtide.feature_join.online import UserFeatures
from springtide.model.fusion import fuse

NO_MODEL = "no_model"

_UNKNOWN = UserFeatures()


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """What one request's candidates are, N of them."""

    request: SlateRequest
    rows: Sequence[int]
    """[N], of the item table."""
    item_ids: Sequence[str]
    features: SlateFeatures
    """Of all candidates; item columns are arrays, which the model's input reads as well as lists."""


class Model(Protocol):
    """What scores; a swap puts another in its place."""

    version: str

    def score(self, batch: Sequence[Candidates]) -> NDArray[np.float32]:
        """Return [sum of N, T]: per candidate, batch after batch, the probability of each task."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranker:
    """Ranks for one arm."""

    arm: ArmConfig
    counts: CandidateCounts
    cold_epsilon: float
    """Exploration while there is no model."""

    def rank(
        self,
        requests: Sequence[SlateRequest],
        table: ItemTable,
        users: Mapping[str, UserFeatures],
        model: Model | None,
    ) -> Ranking:
        """Rank a batch.

        Args:
            requests: with request ids.
            table: items to choose from.
            users: features of the users that are known.
            model: None while there is none: popular items are served, explored widely.
        """
        start = time.perf_counter()
        batch = [self._candidates(request, table, users.get(request.user_id, _UNKNOWN)) for request in requests]
        chosen = time.perf_counter()
        scored = model if self.arm.ranking == "model" else None
        scores = scored.score(batch) if scored is not None else None
        done = time.perf_counter()
        slates, first = [], 0
        for candidates in batch:
            end = first + len(candidates.rows)
            slates.append(self._slate(candidates, table, scored, None if scores is None else scores[first:end]))
            first = end
        end_time = time.perf_counter()
        seconds = {"candidates": chosen - start, "score": done - chosen, "place": end_time - done}
        return Ranking(slates=slates, seconds=seconds)

    def _candidates(self, request: SlateRequest, table: ItemTable, user: UserFeatures) -> Candidates:
        counts = self.counts
        if self.arm.ranking == "random":
            counts = CandidateCounts(popular=0, category=0, newest=0, random=counts.total)
        rows = choose_candidates(
            table,
            counts,
            request_id=request.request_id,
            top_categories=user.top_categories,
            exclude=frozenset(request.exclude),
        )
        values = table.features[rows]
        columns: dict[str, Any] = {name: values[:, column] for column, name in enumerate(ITEM_FEATURES)}
        features = SlateFeatures(
            version=FEATURE_SET_VERSION,
            feature_time_ms=user.feature_time_ms,
            user=user.values,
            top_categories=user.top_categories,
            top_category_shares=user.top_category_shares,
            recent_items=user.recent_items,
            recent_behaviours=user.recent_behaviours,
            item=columns,
            item_category=[table.shelf.categories[row] for row in rows],
        )
        ids = [table.shelf.ids[row] for row in rows]
        return Candidates(request=request, rows=rows, item_ids=ids, features=features)

    def _slate(
        self, candidates: Candidates, table: ItemTable, model: Model | None, scores: NDArray[np.float32] | None
    ) -> RankedSlate:
        epsilon, policy, fallback = self.arm.epsilon, self.arm.policy, ""
        if scores is not None:
            fused = fuse(scores, self.arm.fusion, self.arm.weights).tolist()
        else:
            fused = table.popularity[candidates.rows].tolist()
            if self.arm.ranking == "random":
                epsilon = 1.0
            elif self.arm.ranking == "model":
                epsilon, fallback = self.cold_epsilon, NO_MODEL
        request = candidates.request
        placed = place(fused, size=request.size, epsilon=epsilon, request_id=request.request_id)
        places = list(placed.places)
        return RankedSlate(
            model_version=model.version if model else "",
            policy=policy,
            fallback=fallback,
            item_ids=[candidates.item_ids[spot] for spot in places],
            scores=_by_task(scores, places),
            fused_scores=[round(fused[spot], 8) for spot in places],
            propensities=[round(value, 8) for value in placed.propensities],
            features=_only(candidates.features, places),
        )


def _by_task(scores: NDArray[np.float32] | None, places: list[int]) -> dict[Any, list[float]]:
    """Give the placed items' scores; rounded, for a float32's full text says nothing more."""
    if scores is None:
        return {}
    values = np.round(scores[places].astype(np.float64), 9)
    return {task: values[:, column].tolist() for column, task in enumerate(TASKS)}


def _only(features: SlateFeatures, places: list[int]) -> SlateFeatures:
    """Keep the placed items' features, as lists."""
    item: dict[str, Any] = features.item
    return msgspec.structs.replace(
        features,
        item={name: column[places].tolist() for name, column in item.items()},
        item_category=[features.item_category[spot] for spot in places],
    )
