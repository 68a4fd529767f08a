"""A model state that scores whole batches of candidates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.ranking.ranker import Candidates
from springtide.model.inputs import FEATURES, RawColumns, columns_from_slate
from springtide.model.scorer import Scorer
from springtide.model.state import ModelState


class LoadedModel:
    """One version, ready to score; never changes. Implements serving.ranking.ranker.Model."""

    def __init__(self, state: ModelState) -> None:
        self.state = state
        self.version = state.manifest.version
        self.recent: RawColumns | None = None
        """Columns of the newest batch scored: what a successor is warmed and compared with."""
        self._scorer = Scorer(state)

    def score(self, batch: Sequence[Candidates]) -> NDArray[np.float32]:
        """Return the probability of each task per candidate, batch after batch, float32 (N, T)."""
        columns = joined([_columns(candidates) for candidates in batch])
        self.recent = columns
        return self._scorer.score(columns)

    def score_columns(self, columns: RawColumns) -> NDArray[np.float32]:
        """Score columns that another version has scored."""
        return self._scorer.score(columns)


def _columns(candidates: Candidates) -> RawColumns:
    request = candidates.request
    return columns_from_slate(
        candidates.features, candidates.item_ids, request.user_id, request.context, request.event_time_ms
    )


def joined(parts: Sequence[RawColumns]) -> RawColumns:
    """Put the columns of several requests one after another, so that the network runs once for all."""
    if len(parts) == 1:
        return parts[0]
    firsts = np.cumsum([0, *(len(part.time_S) for part in parts)])
    ids: dict[str, list[str]] = {}
    for feature in FEATURES:
        ids[feature.name] = [raw for part in parts for raw in part.ids[feature.name]]
    return RawColumns(
        dense_NF=np.concatenate([part.dense_NF for part in parts]),
        slate_N=np.concatenate([part.slate_N + first for part, first in zip(parts, firsts, strict=False)]),
        time_S=np.concatenate([part.time_S for part in parts]),
        ids=ids,
        history_lengths_S=np.concatenate([part.history_lengths_S for part in parts]),
        behaviours=np.concatenate([part.behaviours for part in parts]),
    )
