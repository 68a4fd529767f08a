"""How slates lie in the table: many in one entry, for a changelog record of its own would cost more than the slate.

Each trigger writes the slates that changed into new entries, segments, with ever higher numbers, one or more per
stage of life. A slate's newest version counts. Slates of one segment are of one age and move on together, so that
soon none of its versions is the newest, and it is deleted. Keys: `P/b/NUMBER`.

A segment outlives those whose versions it replaced: were it deleted before them, an old version would come to life
again after a restart. So a slate that is given up is written once more, empty; one that is forgotten is not, for a
restart forgets it again by its time.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streaming.core import Write
from streaming.joiner.state import PACK, Slate, slates_decoder
from streaming.state_format import read_entry

LARGEST: Final = 256 * 1024
"""Estimated bytes from which on a new segment is begun; the broker refuses messages that are far larger."""


@dataclass(slots=True)
class _Segment:
    newest: int
    """Slates whose newest version is here."""
    replaces: tuple[int, ...]
    """Segments of which it holds newer versions."""


class Segments:
    """Knows of every segment in the table how many of its versions still count."""

    def __init__(self, partition: int) -> None:
        self._prefix = f"{partition}/b/".encode()
        self._last = 0
        self._there: dict[int, _Segment] = {}
        self._waits_for: defaultdict[int, list[int]] = defaultdict(list)
        """Per segment those that must outlive it."""
        self._idle: list[int] = []
        """Segments that may be deleted by now."""

    def load(self, entries: Mapping[bytes, bytes]) -> dict[str, Slate]:
        """Read the newest version of every slate."""
        slates: dict[str, Slate] = {}
        keys = {int(key[len(self._prefix) :]): key for key in entries if key.startswith(self._prefix)}
        for number in sorted(keys):
            self._last, part = number, read_entry(slates_decoder, keys[number], entries[keys[number]])
            for slate in part:
                older = slates.pop(slate.request_id, None)
                slate.segment = 0 if older is None else older.segment
            self._place(part, number)
            slates.update({slate.request_id: slate for slate in part if not is_empty(slate)})
        self._idle = list(self._there)
        return slates

    def write(self, changed: Iterable[Slate]) -> Iterator[Write]:
        """Put slates as they are now into new segments."""
        stages: defaultdict[int, list[Slate]] = defaultdict(list)
        for slate in changed:
            stages[slate.stage].append(slate)
        for stage in sorted(stages):
            for part in _parts(stages[stage]):
                self._last += 1
                self._place(part, self._last)
                yield Write(self._key(self._last), PACK(part))

    def release(self, slate: Slate) -> None:
        """Let go of a forgotten slate."""
        self._leave(slate.segment)

    def delete_idle(self) -> Iterator[Write]:
        """Delete the segments of which nothing counts any more, the oldest first."""
        while self._idle:
            number = self._idle.pop()
            segment = self._there.get(number)
            if segment is None or segment.newest or any(older in self._there for older in segment.replaces):
                continue
            del self._there[number]
            self._idle += self._waits_for.pop(number, [])
            yield Write(self._key(number), None)

    def __len__(self) -> int:
        return len(self._there)

    def _place(self, part: list[Slate], number: int) -> None:
        """Count these versions as the newest, instead of the ones in `slate.segment`."""
        replaced: dict[int, int] = {}
        given_up = 0
        for slate in part:
            before = slate.segment
            if before:
                replaced[before] = replaced.get(before, 0) + 1
            slate.segment = number
            given_up += not slate.origin and is_empty(slate)
        self._there[number] = _Segment(len(part) - given_up, tuple(replaced))
        if given_up == len(part):
            self._idle.append(number)
        for before, versions in replaced.items():
            self._waits_for[before].append(number)
            self._leave(before, versions)

    def _leave(self, number: int, versions: int = 1) -> None:
        segment = self._there[number]
        segment.newest -= versions
        if not segment.newest:
            self._idle.append(number)

    def _key(self, number: int) -> bytes:
        return self._prefix + str(number).encode()


def is_empty(slate: Slate) -> bool:
    """Say whether nothing is known of a slate: it was given up."""
    return not slate.origin and not slate.waiting


def _parts(slates: list[Slate]) -> Iterator[list[Slate]]:
    part: list[Slate] = []
    room = LARGEST
    for slate in slates:
        if part and slate.size > room:
            yield part
            part, room = [], LARGEST
        part.append(slate)
        room -= slate.size
    yield part
