"""Raw features to model columns: the one code that both trainer and serving run, so that they cannot differ.

N rows are the items of S slates, slate after slate. Item-side columns have N entries, user-side columns S; `slate_N`
says which slate a row belongs to. Tensor shapes: N rows, S slates, F dense features.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.errors import ShapeError
from springtide.contracts.events import Context, SlateFeatures
from springtide.contracts.features import ITEM_FEATURES, USER_FEATURES
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.model.dense_features import DENSE_FEATURES, RawSlates, dense_features
from springtide.model.id_map import Rows

__all__ = ["DENSE_FEATURES", "FEATURES", "RawColumns", "columns_from_samples", "columns_from_slate"]

RECENT_ITEMS_USED: Final = 10
"""Newest behaviours that the history feature pools."""
BEHAVIOUR_CODES: Final[dict[str, int]] = {"": 1, **{task: code for code, task in enumerate(TASKS, 2)}}
"""By name in `recent_behaviours`; 1 is one that was not told, 0 is kept for the padding of sequences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """One sparse feature."""

    name: str
    table: str
    """The embedding table that it reads."""
    per_slate: bool
    """True: one list of ids per slate (S); False: per row (N)."""
    observed: bool
    """True: its ids count towards admission."""


FEATURES: Final = (
    Feature(name="user_id", table="user", per_slate=True, observed=True),
    Feature(name="item_id", table="item", per_slate=False, observed=True),
    Feature(name="category", table="category", per_slate=False, observed=True),
    Feature(name="device", table="device", per_slate=True, observed=True),
    Feature(name="country", table="country", per_slate=True, observed=True),
    Feature(name="history", table="item", per_slate=True, observed=False),
    Feature(name="position", table="position", per_slate=False, observed=True),
)
"""In the order in which their embeddings are concatenated; position is last, for it goes past the backbone."""

POSITION_DROPOUT: Final = 10
"""One position in so many is withheld in training, so that scores without one, as in serving, are calibrated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawColumns:
    """N rows as a model reads them, ids still raw."""

    dense_NF: NDArray[np.float32]
    """One column per name of DENSE_FEATURES."""
    slate_N: NDArray[np.int64]
    """Index of each row's slate."""
    time_S: NDArray[np.int64]
    """Event time of each slate, milliseconds."""
    ids: dict[str, list[str]]
    """Raw ids per feature name; per row or per slate as FEATURES says; `history` is flat."""
    history_lengths_S: NDArray[np.int64]
    """Entries of `history` per slate."""
    behaviours: NDArray[np.int64]
    """What each entry of `history` was, a code of BEHAVIOUR_CODES; flat, 0 (padding) nowhere."""

    def __len__(self) -> int:
        return len(self.slate_N)


class ReadsIds(Protocol):
    """An IdTable or an IdMap."""

    def lookup(self, ids: Sequence[str]) -> Rows:
        """Return the row of each id."""


class CountsIds(ReadsIds, Protocol):
    """An IdTable."""

    def observe(self, ids: Sequence[str], event_time_ms: int | NDArray[np.int64]) -> Rows:
        """Count each id and return its row."""


def columns_from_slate(
    features: SlateFeatures | None,
    item_ids: Sequence[str],
    user_id: str,
    context: Context,
    event_time_ms: int,
) -> RawColumns:
    """Return the columns of one slate (or of all candidates for one): N = len(item_ids), S = 1.

    Raises:
        ShapeError: an item column of `features` has not N entries.
    """
    return _columns([(features, item_ids, user_id, context, event_time_ms)], [""] * len(item_ids))


def columns_from_samples(samples: Sequence[Sample]) -> RawColumns:
    """Return the columns of all items of all samples, in order; S = len(samples).

    Raises:
        ShapeError: an item column of a sample's features does not fit its items.
    """
    slates = [(row.features, row.item_ids, row.user_id, row.context, row.impression_time_ms) for row in samples]
    return _columns(slates, [position for row in samples for position in _positions(row)])


def lookup_columns(columns: RawColumns, tables: Mapping[str, ReadsIds]) -> dict[str, Rows]:
    """Return rows per feature for ids per feature; changes nothing.

    Args:
        columns: the raw columns.
        tables: by table name.
    """
    return lookup_all([columns], tables)[0]


def lookup_all(parts: Sequence[RawColumns], tables: Mapping[str, ReadsIds]) -> list[dict[str, Rows]]:
    """Do as `lookup_columns` for each part, with one lookup per table: an id table answers many ids as fast as few."""
    rows: list[dict[str, Rows]] = [{} for _ in parts]
    for table in dict.fromkeys(feature.table for feature in FEATURES):
        names = [feature.name for feature in FEATURES if feature.table == table]
        ids = list(chain.from_iterable(part.ids[name] for part in parts for name in names))
        found, start = tables[table].lookup(ids), 0
        for part, own in zip(parts, rows, strict=True):
            for name in names:
                own[name] = found[start : start + len(part.ids[name])]
                start += len(part.ids[name])
    return rows


def observe_columns(columns: RawColumns, tables: Mapping[str, CountsIds]) -> dict[str, Rows]:
    """Count the observed features' ids at their slates' event times, then return rows per feature."""
    for feature in FEATURES:
        if feature.observed:
            times = columns.time_S if feature.per_slate else columns.time_S[columns.slate_N]
            tables[feature.table].observe(columns.ids[feature.name], times)
    return lookup_columns(columns, tables)


_Slate = tuple[SlateFeatures | None, Sequence[str], str, Context, int]


def _positions(sample: Sample) -> list[str]:
    """Return each row's position as an id, empty where withheld; which ones depends on the request alone."""
    withheld = zlib.crc32(sample.request_id.encode()) % POSITION_DROPOUT
    return ["" if place % POSITION_DROPOUT == withheld else str(place) for place in sample.positions]


def _columns(slates: Sequence[_Slate], positions: list[str]) -> RawColumns:
    item_ids = [item for slate in slates for item in slate[1]]
    sizes = np.array([len(slate[1]) for slate in slates], np.int64)
    raw = RawSlates.zeros(np.repeat(np.arange(len(slates)), sizes), np.array([slate[4] for slate in slates], np.int64))
    categories: list[str] = []
    history: list[str] = []
    behaviours: list[int] = []
    lengths_S = np.zeros(len(slates), np.int64)
    start = 0
    for index, (features, items, _, _, _) in enumerate(slates):
        if features is None:
            categories += [""] * len(items)
        else:
            _fill_slate(raw, index, start, features, items)
            categories += features.item_category or [""] * len(items)
            recent = features.recent_items[-RECENT_ITEMS_USED:]
            history += recent
            behaviours += _behaviour_codes(features.recent_behaviours, len(features.recent_items))[-RECENT_ITEMS_USED:]
            lengths_S[index] = len(recent)
        start += len(items)
    return RawColumns(
        dense_NF=dense_features(raw),
        slate_N=raw.slate_N,
        time_S=raw.time_S,
        ids={
            "user_id": [slate[2] for slate in slates],
            "item_id": item_ids,
            "category": categories,
            "device": [slate[3].device for slate in slates],
            "country": [slate[3].country for slate in slates],
            "history": history,
            "position": positions,
        },
        history_lengths_S=lengths_S,
        behaviours=np.array(behaviours, np.int64),
    )


def _behaviour_codes(behaviours: Sequence[str], items: int) -> list[int]:
    """Return a code per recent item; samples from before there were behaviours tell none."""
    told = behaviours or [""] * items
    if len(told) != items:
        raise ShapeError(f"features.recent_behaviours: expected {items} entries, got {len(told)}; mend the producer")
    return [BEHAVIOUR_CODES.get(name, BEHAVIOUR_CODES[""]) for name in told]


def _fill_slate(raw: RawSlates, index: int, start: int, features: SlateFeatures, items: Sequence[str]) -> None:
    """Write one slate's raw values into its places of the whole arrays."""
    end = start + len(items)
    raw.user_known_S[index] = features.feature_time_ms > 0
    get = features.user.get
    raw.user_S[index] = [get(name, 0.0) for name in USER_FEATURES]
    for column, name in enumerate(ITEM_FEATURES):
        values = features.item.get(name)
        if values is not None:
            _check_length(f"item.{name}", values, items)
            raw.item_N[start:end, column] = values
    if features.item_category:
        _check_length("item_category", features.item_category, items)
        shares = dict(zip(features.top_categories, features.top_category_shares, strict=False))
        if shares:
            raw.share_N[start:end] = [shares.get(category, 0.0) for category in features.item_category]
    if features.recent_items:
        recent = set(features.recent_items)
        raw.seen_N[start:end] = [raw_id in recent for raw_id in items]


def _check_length(name: str, values: Sequence[object], items: Sequence[str]) -> None:
    if len(values) != len(items):
        raise ShapeError(f"features.{name}: expected {len(items)} entries, got {len(values)}; mend the producer")
