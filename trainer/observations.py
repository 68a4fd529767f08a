"""What the ranks tell each other before a call's steps: how many steps, and which ids their rows hold.

The id tables are replicas. They stay equal because every rank applies every rank's observations, in rank order.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from springtide.model.config import TABLES
from springtide.model.id_index import distinct
from springtide.model.id_table import IdTable
from springtide.model.id_words import as_ids
from springtide.model.inputs import FEATURES, RawColumns


class TableObservations(msgspec.Struct, frozen=True):
    """One table's ids in one rank's rows, each once."""

    ids: list[str]
    counts: list[int]
    times_ms: list[int]
    """Newest event time per id."""


class Announcement(msgspec.Struct, frozen=True):
    """One rank's part of a call."""

    rows_ST: list[list[int]]
    """Unmasked rows per step and task; its length is how many batches the rank has."""
    newest_ms: int
    """Newest impression among the rows, 0 without any."""
    exhausted: bool
    """The rank's feed has nothing more for now."""
    tables: dict[str, TableObservations]
    slates_ST: list[list[int]] = []
    """Slates with two unmasked rows or more per step and task, where the model has a slate loss."""


def summarize(columns: Sequence[RawColumns]) -> dict[str, TableObservations]:
    """Return the observed ids of all batches by table."""
    gathered: dict[str, tuple[list[str], list[int]]] = {table: ([], []) for table in TABLES}
    for part in columns:
        for feature in FEATURES:
            if feature.observed:
                times = part.time_S if feature.per_slate else part.time_S[part.slate_N]
                ids, moments = gathered[feature.table]
                ids.extend(part.ids[feature.name])
                moments.extend(times.tolist())
    return {table: _summary(ids, moments) for table, (ids, moments) in gathered.items() if ids}


def _summary(ids: list[str], moments: list[int]) -> TableObservations:
    first, which = distinct(as_ids(ids))
    times = np.array(moments, np.int64)
    newest = times[first]
    np.maximum.at(newest, which, times)
    names = np.array(ids, object)[first].tolist()
    return TableObservations(ids=names, counts=np.bincount(which).tolist(), times_ms=newest.tolist())


def observe_all(tables: Mapping[str, IdTable], announcements: Sequence[Announcement]) -> None:
    """Apply every rank's observations in rank order.

    An id's count in one call is capped at the table's admission count: more says nothing about admission.
    """
    for announcement in announcements:
        for name, seen in announcement.tables.items():
            table = tables[name]
            counts = np.minimum(seen.counts, table.admission_count)
            table.observe(seen.ids, np.array(seen.times_ms, np.int64), counts)
