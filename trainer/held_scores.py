"""Probabilities given before learning, held until the slate's labels are final: honest quality on closed labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.samples import Phase, Sample
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
    weights_N: Floats
    """Inverse of each row's chance to be kept, see springtide/model/targets.py."""


@dataclass(frozen=True, slots=True)
class Held:
    """One observed slate's scores; N items."""

    scores_NT: Floats
    open_T: tuple[bool, ...]
    """The tasks whose labels were still open."""
    places: list[int]
    """Positions of the items: a final row may hold more, which gained a label after they had been sampled out."""
    weights_N: Floats
    """Inverse of the items' chance to be kept when they were observed, which is when they were scored."""


class HeldScores:
    """Scores by request, by hour of event time.

    Args:
        keep_ms: event time after which a slate without a final row is given up.
    """

    def __init__(self, keep_ms: int) -> None:
        self._keep_hours = keep_ms // HOUR_MS
        self._hours: dict[int, dict[str, Held]] = {}
        self.unjudged = 0
        """Final slates without held scores, or without an item that was observed."""

    def __len__(self) -> int:
        return sum(len(hour) for hour in self._hours.values())

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return all held scores as plain arrays."""
        entries = [(hour, request, held) for hour, slates in self._hours.items() for request, held in slates.items()]
        held = [each for _, _, each in entries]
        blob, offsets = pack_ids([request for _, request, _ in entries])
        return {
            "ids": blob,
            "offsets": offsets,
            "hours": np.array([hour for hour, _, _ in entries], np.int64),
            "sizes": np.array([len(each.places) for each in held], np.int64),
            "open": np.array([each.open_T for each in held], np.bool_).reshape(-1, len(TASKS)),
            "scores": np.concatenate([np.zeros((0, len(TASKS)), np.float32), *(each.scores_NT for each in held)]),
            "places": np.array([place for each in held for place in each.places], np.int64),
            "weights": np.concatenate([np.zeros(0, np.float32), *(each.weights_N for each in held)]),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add what `to_arrays` wrote; scores of a release that kept no positions are given up."""
        if "places" not in arrays:
            self.unjudged += len(arrays["sizes"])
            return
        ends = np.cumsum(arrays["sizes"])
        requests = unpack_ids(arrays["ids"], arrays["offsets"])
        columns = (arrays["hours"].tolist(), requests, arrays["open"].tolist(), arrays["sizes"].tolist(), ends.tolist())
        for hour, request, open_T, size, end in zip(*columns, strict=True):
            own = slice(end - size, end)
            self._hours.setdefault(hour, {})[request] = Held(
                arrays["scores"][own], tuple(open_T), arrays["places"][own].tolist(), arrays["weights"][own]
            )

    def hold(self, sample: Sample, probabilities_NT: Floats, open_T: tuple[bool, ...], weights_N: Floats) -> None:
        """Keep a slate's scores for the tasks whose labels were still open, with the rows' sampling weights."""
        number = sample.impression_time_ms // HOUR_MS
        if number not in self._hours:
            self._hours[number] = {}
            for old in [hour for hour in self._hours if hour < max(self._hours) - self._keep_hours]:
                self.unjudged += len(self._hours.pop(old))
        if number in self._hours:
            self._hours[number][sample.request_id] = Held(probabilities_NT, open_T, sample.positions, weights_N.copy())

    def judge(self, sample: Sample) -> Iterator[Judged]:
        """Yield a final slate's labels against its held scores, and let the scores go.

        An item that had no label when observed keeps the weight of those without, for that decided if it was scored.
        """
        hour = self._hours.get(sample.impression_time_ms // HOUR_MS, {})
        held = hour.pop(sample.request_id, None)
        place_of = {place: index for index, place in enumerate(sample.positions)}
        if held is None or not set(held.places) <= set(place_of):
            self.unjudged += 1
            return
        rows = [place_of[place] for place in held.places]
        times = np.full(len(rows), sample.impression_time_ms)
        for column, task in enumerate(TASKS):
            if held.open_T[column] and task in sample.labels:
                labels = np.array(sample.labels[task], np.float32)
                yield Judged(
                    task=task, maturity="matured", probabilities_N=held.scores_NT[:, column],
                    labels_N=labels[rows], times_ms_N=times, weights_N=held.weights_N,
                )  # fmt: skip


def judge_now(
    samples: Sequence[Sample],
    targets: Targets,
    probabilities_NT: Floats,
    phases: Sequence[Phase] = ("observed", "final"),
) -> Iterator[Judged]:
    """Yield what a batch's own labels say already: closed tasks as matured, provisional ones as observed.

    Rows of other phases are left out: corrections, and what is judged by other means.
    """
    sizes = [len(sample.item_ids) for sample in samples]
    times_N = np.repeat(np.array([sample.impression_time_ms for sample in samples], np.int64), sizes)
    whole_N = np.repeat(np.array([sample.phase in phases for sample in samples], np.bool_), sizes)
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
                    weights_N=targets.sampling_N[rows],
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
            weights_N=np.concatenate([part.weights_N for part in group]),
        )
        for (task, maturity), group in groups.items()
    ]
