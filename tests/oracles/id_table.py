"""The id table in plain Python: dicts, loops and sorts, one rule a line."""

from __future__ import annotations

from dataclasses import dataclass, field

PENDING_PER_ROW = 4
SPARE = 128


@dataclass
class Seen:
    count: int
    last_seen: int


@dataclass
class PlainTable:
    capacity: int
    admission_count: int
    expiry_ms: int
    row_of: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    waiting: dict[str, Seen] = field(default_factory=dict)
    place_of: dict[str, int] = field(default_factory=dict)
    admitted: dict[str, int] = field(default_factory=dict)
    evicted: dict[str, int] = field(default_factory=dict)
    to_reset: set[int] = field(default_factory=set)

    def observe(self, ids: list[str], times: list[int]) -> list[int]:
        new: dict[str, Seen] = {}
        for raw_id, time in zip(ids, times, strict=True):
            if raw_id:
                entry = self.seen.get(raw_id) or new.setdefault(raw_id, Seen(0, time))
                entry.count, entry.last_seen = entry.count + 1, max(entry.last_seen, time)
        for raw_id in set(new) & set(self.waiting):
            new[raw_id].count += self.waiting[raw_id].count
            new[raw_id].last_seen = max(new[raw_id].last_seen, self.waiting[raw_id].last_seen)
        self._admit(new)
        for raw_id in set(self.row_of) & set(self.waiting):
            del self.waiting[raw_id], self.place_of[raw_id]
        for raw_id in [raw_id for raw_id in new if raw_id not in self.row_of]:
            self.waiting[raw_id] = new[raw_id]
            if raw_id not in self.place_of:
                self.place_of[raw_id] = smallest_free(self.place_of)
        self._forget()
        return [self.row_of.get(raw_id, 0) for raw_id in ids]

    def _forget(self) -> None:
        if len(self.waiting) > PENDING_PER_ROW * self.capacity:
            by_age = sorted(self.waiting, key=lambda i: (*age(self.waiting[i]), self.place_of[i]))
            for raw_id in by_age[: len(by_age) // 2]:
                del self.waiting[raw_id], self.place_of[raw_id]

    def _admit(self, new: dict[str, Seen]) -> None:
        order = list(new)
        ready = [raw_id for raw_id in order if new[raw_id].count >= self.admission_count]
        ready.sort(key=lambda i: (-new[i].last_seen, -new[i].count, order.index(i)))
        free = self.capacity - 1 - len(self.row_of)
        chosen, evicted = ready[:free], []
        victims = sorted(self.row_of, key=lambda i: (*age(self.seen[i]), self.row_of[i]))
        for raw_id, victim in zip(ready[free:], victims, strict=False):
            if self.seen[victim].last_seen >= new[raw_id].last_seen:
                break
            chosen.append(raw_id)
            evicted.append(victim)
        if evicted:
            for victim in victims[len(evicted) : self.capacity // SPARE]:
                if self.seen[victim].last_seen < new[chosen[-1]].last_seen:
                    evicted.append(victim)
        for raw_id in evicted:
            self._evict(raw_id)
        for raw_id in sorted(chosen, key=order.index):
            row = smallest_free(self.row_of)
            self.row_of[raw_id], self.seen[raw_id] = row, new[raw_id]
            self.admitted[raw_id] = row
            self.to_reset.add(row)

    def expire(self, now: int) -> int:
        horizon = now - self.expiry_ms
        old = [raw_id for raw_id in self.row_of if self.seen[raw_id].last_seen < horizon]
        for raw_id in old:
            self._evict(raw_id)
        for raw_id in [raw_id for raw_id, entry in self.waiting.items() if entry.last_seen < horizon]:
            del self.waiting[raw_id], self.place_of[raw_id]
        return len(old)

    def take_journal(self) -> tuple[dict[str, int], dict[str, int]]:
        journal = (self.admitted, self.evicted)
        self.admitted, self.evicted = {}, {}
        return journal

    def _evict(self, raw_id: str) -> None:
        row = self.row_of.pop(raw_id)
        del self.seen[raw_id]
        if self.admitted.pop(raw_id, None) is None:
            self.evicted[raw_id] = row
        self.to_reset.discard(row)


def age(entry: Seen) -> tuple[int, int]:
    return entry.last_seen, entry.count


def smallest_free(taken: dict[str, int]) -> int:
    numbers = set(taken.values())
    return next(number for number in range(1, len(numbers) + 2) if number not in numbers)
