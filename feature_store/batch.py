"""Splits what was polled into rows and dead letters, and rows into newest and all. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from springtide.contracts.codec import decode
from springtide.contracts.errors import ContractError
from springtide.contracts.features import COUNTS, USER_FEATURES, Entity, FeatureRow


@dataclass(kw_only=True, slots=True)
class Decoded:
    """What one poll held, in order of arrival."""

    rows: list[FeatureRow] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Position in the poll and why the message is no feature row."""


def decode_rows(values: Iterable[bytes | None], topic: str) -> Decoded:
    """Decode messages; a message without a value (a tombstone of the compacted topic) says nothing and is left out."""
    decoded = Decoded()
    for position, value in enumerate(values):
        if value is None:
            continue
        try:
            decoded.rows.append(decode(value, FeatureRow, where=topic))
        except ContractError as error:
            decoded.refused.append((position, str(error)))
    return decoded


def numbers_of(row: FeatureRow) -> list[float]:
    """Order a row's plain numbers as USER_NUMBERS or ITEM_NUMBERS name them; what the row does not tell is 0."""
    names = USER_FEATURES if row.entity == "user" else COUNTS
    return [float(row.event_time_ms), *(row.values.get(name, 0.0) for name in names)]


class NewestRows:
    """Remembers the newest event time of each entity, so that an older row never overwrites a newer one online.

    Feast's SQLite store keeps what arrives last, its Redis store what is newest (or, told to skip the check, what
    arrives last): with this guard before them both keep the newest, and of two rows of one instant the later arrival.
    """

    def __init__(self) -> None:
        self._times_ms: dict[tuple[Entity, str], int] = {}

    def __len__(self) -> int:
        return len(self._times_ms)

    def remember(self, entity: Entity, entity_id: str, event_time_ms: int) -> None:
        """Take note of a row that is stored already."""
        key = (entity, entity_id)
        self._times_ms[key] = max(event_time_ms, self._times_ms.get(key, event_time_ms))

    def select(self, rows: Sequence[FeatureRow]) -> list[FeatureRow]:
        """Give the rows to write online, at most one per entity: those at least as new as all seen before."""
        chosen: dict[tuple[Entity, str], FeatureRow] = {}
        for row in rows:
            key = (row.entity, row.entity_id)
            if row.event_time_ms >= self._times_ms.get(key, row.event_time_ms):
                self._times_ms[key] = row.event_time_ms
                chosen[key] = row
        return list(chosen.values())
