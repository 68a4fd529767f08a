"""When users come: sessions by day and night and day of the week, and the requests inside them.

Arrivals depend on the seed alone, never on what was shown, so policies are compared on the same requests.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.config import SimulatorConfig
from simulator.population import BOTS, Population
from simulator.randomness import Draw, Floats, Ints, Keys, hashed, normal, poisson, uniform

DAY_MS: Final = 86_400_000
_PEAK: Final = 20 / 24
_LONGEST: Final = 20
_GRID: Final = np.linspace(0.0, 1.0, 289)


@dataclass(frozen=True, kw_only=True, slots=True)
class Requests:
    """Requests in order of time; one entry per request in every array."""

    time_ms: Ints
    user: Ints
    key: Keys
    """Identity of the request: the key of every draw that concerns it."""

    def __len__(self) -> int:
        return len(self.time_ms)

    def between(self, start_ms: int, end_ms: int) -> "Requests":
        """Cut out start <= time < end."""
        low, high = np.searchsorted(self.time_ms, [start_ms, end_ms])
        return Requests(time_ms=self.time_ms[low:high], user=self.user[low:high], key=self.key[low:high])

    def request_ids(self) -> list[str]:
        """Name each request."""
        return [f"r{key:016x}" for key in self.key.tolist()]


def join(parts: list[Requests]) -> Requests:
    """Merge requests of several origins, in order of time, then key."""
    time = np.concatenate([part.time_ms for part in parts])
    key = np.concatenate([part.key for part in parts])
    order = np.lexsort((key, time))
    return Requests(time_ms=time[order], user=np.concatenate([part.user for part in parts])[order], key=key[order])


class Arrivals:
    """Gives the requests of any stretch of time, from nothing but the seed and the extra traffic asked for."""

    def __init__(self, config: SimulatorConfig, population: Population) -> None:
        self._config, self._population = config, population
        wave = 1.0 + config.night * np.cos(2 * np.pi * (_GRID - _PEAK))
        steps = np.concatenate([[0.0], np.cumsum((wave[1:] + wave[:-1]) / 2)])
        self._curve = steps / steps[-1]
        self._people = np.where(np.arange(len(population.rate)) < population.people, population.rate, 0.0)
        self._days: dict[int, Requests] = {}

    def between(self, start_ms: int, end_ms: int) -> Requests:
        """Give the ordinary requests of a stretch; sessions may have begun the day before."""
        days = range(self._day(start_ms) - 1, self._day(end_ms - 1) + 1)
        for day in [known for known in self._days if known not in days]:
            del self._days[day]
        parts = []
        for day in days:
            if day not in self._days:
                self._days[day] = self._sessions(day, 0.0, 1.0, self._people, origin=day)
            parts.append(self._days[day].between(start_ms, end_ms))
        return join(parts)

    def extra(self, from_ms: int, until_ms: int, factor: float, origin: int) -> Requests:
        """Give the requests that more traffic adds: `factor` times the usual number, over and above it."""
        return self._stretch(from_ms, until_ms, self._people * factor, origin)

    def bots(self, from_ms: int, until_ms: int, share: float, origin: int) -> Requests:
        """Give bots' requests: `share` times as many sessions as people usually begin."""
        ids = np.arange(len(self._people))
        rate = np.where(ids >= self._population.people, self._people.sum() * share / BOTS, 0.0)
        return self._stretch(from_ms, until_ms, rate, origin)

    def _stretch(self, from_ms: int, until_ms: int, rate: Floats, origin: int) -> Requests:
        parts = []
        for day in range(self._day(from_ms), self._day(until_ms - 1) + 1):
            low, high = np.interp([self._share(from_ms, day), self._share(until_ms, day)], _GRID, self._curve)
            parts.append(self._sessions(day, float(low), float(high), rate, origin=origin))
        return join(parts)

    def _day(self, time_ms: int) -> int:
        return time_ms // DAY_MS

    def _share(self, time_ms: int, day: int) -> float:
        return min(max((time_ms - day * DAY_MS) / DAY_MS, 0.0), 1.0)

    def _sessions(self, day: int, low: float, high: float, rate: Floats, origin: int) -> Requests:
        """Draw a day's sessions that begin between two shares of the day's traffic, and their requests."""
        config, seed = self._config, self._config.seed
        weekend = config.weekend if (day + 3) % 7 >= 5 else 1.0  # day 0 of the epoch was a Thursday
        mean = rate * weekend * (high - low)
        users = np.flatnonzero(mean > 0)
        counts = poisson(uniform(seed, Draw.SESSIONS, origin, day, users), mean[users])
        user = np.repeat(users, counts)
        number = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
        luck = low + uniform(seed, Draw.SESSION_START, origin, day, user, number) * (high - low)
        start = ((day + np.interp(luck, self._curve, _GRID)) * DAY_MS).astype(np.int64)
        kept = (start >= self._population.joined_ms[user]) & (start >= config.start_ms) & (start < config.end_ms)
        return self._requests(origin, day, user[kept], number[kept], start[kept])

    def _requests(self, origin: int, day: int, user: Ints, number: Ints, start: Ints) -> Requests:
        """Fill sessions: a geometric number of requests, log-normal times between them."""
        config, seed = self._config, self._config.seed
        if len(user) == 0:
            empty = np.zeros(0, dtype=np.int64)
            return Requests(time_ms=empty, user=empty, key=empty.astype(np.uint64))
        stay = 1.0 - 1.0 / config.requests_per_session
        luck = uniform(seed, Draw.SESSION_LENGTH, origin, day, user, number)
        length = np.minimum(1 + np.floor(np.log(luck) / np.log(max(stay, 1e-12))).astype(np.int64), _LONGEST)
        place = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        user, number, start = (np.repeat(column, length) for column in (user, number, start))
        median = config.think_time.total_seconds() * 1000
        gap = median * np.exp(config.think_spread * normal(seed, Draw.THINK, origin, day, user, number, place))
        gap[place == 0] = 0.0
        total = np.cumsum(gap)
        time = start + (total - np.repeat(total[place == 0], length)).astype(np.int64)
        key = hashed(seed, Draw.REQUEST, origin, day, user, number, place)
        order = np.lexsort((key, time))
        return Requests(time_ms=time[order], user=user[order], key=key[order])
