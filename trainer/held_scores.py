"""Probabilities given before learning, held until the slate's labels are final: honest quality on closed labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import HOUR_MS
from springtide.model.id_blob import pack_ids, unpack_ids
from springtide.model.targets import CLOSED, OBSERVED, Targets

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Probabilities against labels of one task and maturity; N rows."""

    task: str
    maturity: str
    """`matured` or `observed`, never mixed."""
    probabilities_N: Floats
    labels_N: Floats
    times_ms_N: NDArray[np.int64]


class HeldScores:
    """Scores by request, by hour of event time.

    Args:
        keep_ms: event time after which a slate without a final row is given up.
    """

    def __init__(self, keep_ms: int) -> None:
        self._keep_hours = keep_ms // HOUR_MS
        self._hours: dict[int, dict[str, tuple[Floats, tuple[bool, ...]]]] = {}
        self.unjudged = 0
        """Final slates without held scores, or with another number of items."""

    def __len__(self) -> int:
        return sum(len(hour) for hour in self._hours.values())

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return all held scores as plain arrays."""
        entries = [(hour, request, *held) for hour, slates in self._hours.items() for request, held in slates.items()]
        blob, offsets = pack_ids([request for _, request, _, _ in entries])
        return {
            "ids": blob,
            "offsets": offsets,
            "hours": np.array([hour for hour, _, _, _ in entries], np.int64),
            "sizes": np.array([len(scores_NT) for _, _, scores_NT, _ in entries], np.int64),
            "open": np.array([open_T for _, _, _, open_T in entries], np.bool_).reshape(-1, len(TASKS)),
            "scores": np.concatenate([np.zeros((0, len(TASKS)), np.float32), *(scores for _, _, scores, _ in entries)]),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add what `to_arrays` wrote."""
        parts = np.split(arrays["scores"], np.cumsum(arrays["sizes"])[:-1]) if len(arrays["sizes"]) else []
        requests = unpack_ids(arrays["ids"], arrays["offsets"])
        columns = (arrays["hours"].tolist(), requests, parts, arrays["open"].tolist())
        for hour, request, scores_NT, open_T in zip(*columns, strict=True):
            self._hours.setdefault(hour, {})[request] = (scores_NT, tuple(open_T))

    def hold(self, sample: Sample, probabilities_NT: Floats, open_T: tuple[bool, ...]) -> None:
        """Keep a slate's scores for the tasks whose labels were still open."""
        number = sample.impression_time_ms // HOUR_MS
        if number not in self._hours:
            self._hours[number] = {}
            for old in [hour for hour in self._hours if hour < max(self._hours) - self._keep_hours]:
                self.unjudged += len(self._hours.pop(old))
        if number in self._hours:
            self._hours[number][sample.request_id] = (probabilities_NT, open_T)

    def judge(self, sample: Sample) -> Iterator[Judged]:
        """Yield a final slate's labels against its held scores, and let the scores go."""
        hour = self._hours.get(sample.impression_time_ms // HOUR_MS, {})
        held = hour.pop(sample.request_id, None)
        if held is None or len(held[0]) != len(sample.item_ids):
            self.unjudged += 1
            return
        probabilities_NT, open_T = held
        times = np.full(len(probabilities_NT), sample.impression_time_ms)
        for column, task in enumerate(TASKS):
            if open_T[column] and task in sample.labels:
                labels = np.array(sample.labels[task], np.float32)
                yield Judged(
                    task=task, maturity="matured", probabilities_N=probabilities_NT[:, column],
                    labels_N=labels, times_ms_N=times,
                )  # fmt: skip


def judge_now(samples: Sequence[Sample], targets: Targets, probabilities_NT: Floats) -> Iterator[Judged]:
    """Yield what a batch's own labels say already: closed tasks as matured, provisional ones as observed."""
    sizes = [len(sample.item_ids) for sample in samples]
    times_N = np.repeat(np.array([sample.impression_time_ms for sample in samples], np.int64), sizes)
    whole_N = np.repeat([sample.phase != "corrected" for sample in samples], sizes)
    for code, maturity in ((CLOSED, "matured"), (OBSERVED, "observed")):
        for column, task in enumerate(TASKS):
            rows = whole_N & (targets.maturity_NT[:, column] == code)
            if rows.any():
                yield Judged(
                    task=task,
                    maturity=maturity,
                    probabilities_N=probabilities_NT[rows, column],
                    labels_N=targets.labels_NT[rows, column],
                    times_ms_N=times_N[rows],
                )


def join_judged(parts: Sequence[Judged]) -> list[Judged]:
    """Lay parts of equal task and maturity together."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for part in parts:
        groups.setdefault((part.task, part.maturity), []).append(part)
    return [
        Judged(
            task=task,
            maturity=maturity,
            probabilities_N=np.concatenate([part.probabilities_N for part in group]),
            labels_N=np.concatenate([part.labels_N for part in group]),
            times_ms_N=np.concatenate([part.times_ms_N for part in group]),
        )
        for (task, maturity), group in groups.items()
    ]
