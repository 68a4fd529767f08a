"""Rows as fingerprints, 33 bytes each, so that a long range of a topic can be compared in little memory. Pure.

A fingerprint is a 64-bit hash of the row's id and one of its payload. Among ten million rows the chance that two ids
share one is about three in a million; what differs is read again in full, so a collision cannot hide in a report.
"""

import hashlib
from array import array
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from springtide.contracts.codec import encode
from springtide.contracts.samples import Sample

Keys = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_REFUNDED: Final = "refunded"


def key_of(row_id: str) -> int:
    """Return the fingerprint of a row's id."""
    return _hash(row_id.encode())


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Which rows can be judged, ms of event time."""

    from_ms: int
    """Slates shown from here on; before, events or rows may have been deleted."""
    to_ms: int
    """Slates shown before."""
    due_before_ms: int
    """Rows whose windows had closed by then: the oldest watermark of all partitions."""


class Prints:
    """The fingerprints of one side."""

    def __init__(self, final_ms: int, refund_ms: int) -> None:
        """`final_ms` and `refund_ms` are the ages at which a slate's rows, and its refunded ones, are complete."""
        self._final_ms, self._refund_ms = final_ms, refund_ms
        self._keys, self._payloads = array("Q"), array("Q")
        self._shown, self._closed, self._late = array("q"), array("q"), array("b")

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, row: Sample, *, late: bool) -> None:
        """Add a row; `late`: some event of its slate came later than the allowed lateness."""
        age = self._refund_ms if row.phase == _REFUNDED else self._final_ms
        self._keys.append(key_of(row.row_id))
        self._payloads.append(_hash(encode(row)))
        self._shown.append(row.impression_time_ms)
        self._closed.append(row.impression_time_ms + age)
        self._late.append(late)

    def columns(self, judged: Judged) -> tuple[Keys, Keys, Bools]:
        """Return keys, payloads and the late flags of the rows that can be judged."""
        shown, closed = (np.array(column, np.int64) for column in (self._shown, self._closed))
        kept = (shown >= judged.from_ms) & (shown < judged.to_ms) & (closed < judged.due_before_ms)
        keys, payloads = (np.array(column, np.uint64)[kept] for column in (self._keys, self._payloads))
        return keys, payloads, np.array(self._late, bool)[kept]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How the rows that were said differ from what should have been said; keys are fingerprints of row ids."""

    expected: int
    """Rows of the batch join that were judged."""
    said: int
    """Rows on the topic that were judged, repetitions included."""
    repeated: int
    """Said again with the same payload: allowed, a crash does so."""
    missing: set[int]
    unexpected: set[int]
    wrong: set[int]
    """Said once, with another payload."""
    conflicts: set[int]
    """Said with two payloads."""
    late: set[int]
    """Those that differ, of slates with an event that came too late to be sure of: no fault of the joiner."""

    @property
    def kinds(self) -> dict[str, set[int]]:
        """The four kinds of difference that count, by name."""
        names = ("missing", "unexpected", "wrong", "conflicts")
        return {name: getattr(self, name) for name in names}

    def __bool__(self) -> bool:
        return any(self.kinds.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the counts."""
        counts = {"expected": self.expected, "said": self.said, "repeated": self.repeated, "late": len(self.late)}
        return {**counts, **{name: len(keys) for name, keys in self.kinds.items()}}


def judge(expected: Prints, said: Prints, judged: Judged) -> Verdict:
    """Compare both sides."""
    wanted_keys, wanted_payloads, wanted_late = expected.columns(judged)
    keys, payloads, late = said.columns(judged)
    late_keys = set(wanted_keys[wanted_late].tolist()) | set(keys[late].tolist())
    pairs = np.unique(np.stack([keys, payloads], axis=1), axis=0) if len(keys) else np.zeros((0, 2), np.uint64)
    distinct, variants = np.unique(pairs[:, 0], return_counts=True)
    conflicts = set(distinct[variants > 1].tolist())
    order = np.argsort(wanted_keys)
    sorted_keys, sorted_payloads = wanted_keys[order], wanted_payloads[order]
    place = np.minimum(np.searchsorted(sorted_keys, pairs[:, 0]), max(len(sorted_keys) - 1, 0))
    known = sorted_keys[place] == pairs[:, 0] if len(sorted_keys) else np.zeros(len(pairs), bool)
    other = sorted_payloads[place] != pairs[:, 1] if len(sorted_keys) else np.zeros(len(pairs), bool)
    wrong = set(pairs[known & other, 0].tolist()) - conflicts
    found = {
        "missing": set(wanted_keys[~np.isin(wanted_keys, distinct)].tolist()),
        "unexpected": set(pairs[~known, 0].tolist()),
        "wrong": wrong,
        "conflicts": conflicts,
    }
    return Verdict(
        expected=len(wanted_keys), said=len(keys), repeated=len(keys) - len(pairs),
        late=late_keys & set().union(*found.values()),
        **{name: names - late_keys for name, names in found.items()},
    )  # fmt: skip
