"""A fair share of slates with features, kept until their labels are closed: what versions are compared on.

Of each hour of event time the slates with the smallest hash of their request stay: a uniform draw whatever the rate,
and the same one however often rows are read again.
"""

import zlib
from bisect import insort
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from springtide.contracts.samples import Sample
from springtide.contracts.topics import HOUR_MS


class ClosedSlate(msgspec.Struct, frozen=True, kw_only=True):
    """One slate: what was known of it when observed, and how it ended."""

    sample: Sample
    """With features. Its own labels tell which items had to be kept, see springtide/model/targets.py."""
    labels: dict[str, list[int]]
    """Closed labels per task, of the sample's items."""


class _Stored(msgspec.Struct, frozen=True):
    open: list[Sample]
    closed: list[ClosedSlate]


_decoder = msgspec.json.Decoder(_Stored)


class ClosedSlates:
    """The slates of one rank's partitions.

    Args:
        per_hour: slates kept of each hour of event time.
        keep_ms: event time after which a slate is let go.
    """

    def __init__(self, per_hour: int, keep_ms: int) -> None:
        self._per_hour, self._keep_hours = per_hour, keep_ms // HOUR_MS
        self._open: dict[int, dict[str, Sample]] = {}
        self._closed: dict[int, dict[str, ClosedSlate]] = {}
        self._drawn: dict[int, list[tuple[int, str]]] = {}
        """By hour, ascending: the requests that stay."""

    def note(self, sample: Sample) -> None:
        """Take an observed slate with features, if the draw of its hour falls on it."""
        hour = sample.impression_time_ms // HOUR_MS
        if sample.features is not None and self._draw(hour, sample.request_id):
            self._open.setdefault(hour, {})[sample.request_id] = sample

    def close(self, sample: Sample) -> None:
        """Take a final slate; one that brings its features itself needs no observed row before."""
        hour = sample.impression_time_ms // HOUR_MS
        before = self._open.get(hour, {}).pop(sample.request_id, None)
        if before is None and sample.features is not None and self._draw(hour, sample.request_id):
            before = sample
        if before is None:
            return
        place_of = {place: index for index, place in enumerate(sample.positions)}
        if not set(before.positions) <= set(place_of):
            return
        rows = [place_of[place] for place in before.positions]
        labels = {str(task): [values[row] for row in rows] for task, values in sample.labels.items()}
        self._closed.setdefault(hour, {})[sample.request_id] = ClosedSlate(sample=before, labels=labels)

    def window(self, span_ms: int, before_ms: int | None = None) -> list[ClosedSlate]:
        """Return the newest closed slates, by impression, in a fixed order.

        Args:
            span_ms: event time that they cover at most, in whole hours.
            before_ms: only impressions of hours that ended by then; None: all.
        """
        end = None if before_ms is None else before_ms // HOUR_MS
        hours = [hour for hour in self._closed if end is None or hour < end]
        oldest = max(hours, default=0) - max(1, span_ms // HOUR_MS)
        chosen = sorted(hour for hour in hours if hour > oldest)
        return [slate for hour in chosen for _, slate in sorted(self._closed[hour].items())]

    def to_arrays(self) -> dict[str, NDArray[np.uint8]]:
        """Return everything as one array of bytes."""
        stored = _Stored(
            [hour[request] for _, hour in sorted(self._open.items()) for request in sorted(hour)],
            [hour[request] for _, hour in sorted(self._closed.items()) for request in sorted(hour)],
        )
        return {"slates": np.frombuffer(msgspec.json.encode(stored), np.uint8).copy()}

    def load(self, arrays: dict[str, NDArray[np.uint8]]) -> None:
        """Add what `to_arrays` wrote; several may be loaded one after another."""
        stored = _decoder.decode(arrays["slates"].tobytes())
        for sample in stored.open:
            self._open.setdefault(sample.impression_time_ms // HOUR_MS, {})[sample.request_id] = sample
        for slate in stored.closed:
            hour = slate.sample.impression_time_ms // HOUR_MS
            self._closed.setdefault(hour, {})[slate.sample.request_id] = slate
        for hour in self._open.keys() | self._closed.keys():
            requests = [*self._open.get(hour, ()), *self._closed.get(hour, ())]
            self._drawn[hour] = sorted(map(_order, requests))

    def _draw(self, hour: int, request: str) -> bool:
        """Tell whether the request is among the hour's chosen, and let the one go that it pushes out."""
        if not self._per_hour:
            return False
        if hour not in self._drawn:
            self._drawn[hour] = []
            self._forget()
        drawn, own = self._drawn.get(hour), _order(request)
        if drawn is None or own in drawn or (len(drawn) >= self._per_hour and own > drawn[-1]):
            return False
        insort(drawn, own)
        for _, last in drawn[self._per_hour :]:
            self._open.get(hour, {}).pop(last, None)
            self._closed.get(hour, {}).pop(last, None)
        del drawn[self._per_hour :]
        return True

    def _forget(self) -> None:
        oldest = max(self._drawn) - self._keep_hours
        for hour in [hour for hour in self._drawn if hour < oldest]:
            del self._drawn[hour]
            self._open.pop(hour, None)
            self._closed.pop(hour, None)


def _order(request: str) -> tuple[int, str]:
    return zlib.crc32(request.encode()), request


def encode_slates(slates: Sequence[ClosedSlate]) -> bytes:
    """Return slates as they go from rank to rank."""
    return msgspec.json.encode(slates)


def decode_slates(content: bytes) -> list[ClosedSlate]:
    """Return what `encode_slates` wrote."""
    slates: list[ClosedSlate] = msgspec.json.decode(content, type=list[ClosedSlate])
    return slates
