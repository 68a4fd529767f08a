"""Rankers inside this process, with the gateway's answer: baselines for the story, and stand-ins for tests."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from simulator.arrivals import Requests
from simulator.effects import Effects
from simulator.randomness import Draw, Floats, Ints, uniform
from simulator.world import World
from springtide.contracts.events import AnyEvent, Click, Impression
from springtide.contracts.scoring import SlateResponse

_PRIOR_IMPRESSIONS = 60.0
_ORACLE_WEIGHTS = (1.0, 6.0)
"""Worth of a click and of a purchase to the oracle."""


class Policy(Protocol):
    """Ranks, and may learn from the events of the past."""

    def rank(self, requests: Requests, now_ms: int, effects: Effects) -> list[SlateResponse]:
        """Answer each request with a slate."""
        ...

    def learn(self, slates: Sequence[SlateResponse], events: Sequence[AnyEvent]) -> None:
        """See a step's slates, and what has happened in it."""
        ...

    def state(self) -> dict[str, Any]:
        """Give what must survive a restart, as JSON-able values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        ...


class _Ranker:
    """What the policies share: the best K of the items alive, by a score per request or one for all."""

    name = ""

    def __init__(self, world: World) -> None:
        self._world, self._size = world, world.config.slate_size

    def rank(self, requests: Requests, now_ms: int, effects: Effects) -> list[SlateResponse]:
        alive = np.flatnonzero(self._world.items.alive(now_ms))
        if not len(requests):
            return []
        scores = np.broadcast_to(self._scores(requests, alive, effects), (len(requests), len(alive)))
        size = min(self._size, len(alive))
        top = np.argpartition(-scores, size - 1, axis=1)[:, :size]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
        chosen = alive[np.take_along_axis(top, order, axis=1)]
        ids = self._world.items.ids
        return [
            SlateResponse(
                request_id=request_id, experiment="baseline", arm=self.name, model_version="", policy=self.name,
                fallback="", item_ids=[ids[item] for item in row], scores={}, propensities=[],
            )
            for request_id, row in zip(requests.request_ids(), chosen.tolist(), strict=True)
        ]  # fmt: skip

    def _scores(self, requests: Requests, alive: Ints, effects: Effects) -> Floats:
        raise NotImplementedError

    def learn(self, slates: Sequence[SlateResponse], events: Sequence[AnyEvent]) -> None:
        """Learn nothing."""

    def state(self) -> dict[str, Any]:
        """Keep nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up nothing."""


class RandomPolicy(_Ranker):
    """Any items, each as likely."""

    name = "random"

    def _scores(self, requests: Requests, alive: Ints, effects: Effects) -> Floats:
        return uniform(self._world.config.seed, Draw.POLICY, requests.key[:, None], alive)


class PopularityPolicy(_Ranker):
    """The most clicked per impression so far, smoothed towards the mean, the same for everyone."""

    name = "popularity"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        count = len(world.items.ids)
        self._impressions, self._clicks = np.zeros(count), np.zeros(count)
        self._open: dict[str, list[str]] = {}

    def _scores(self, requests: Requests, alive: Ints, effects: Effects) -> Floats:
        mean = (self._clicks.sum() + 1.0) / (self._impressions.sum() + 20.0)
        clicks, impressions = self._clicks[alive], self._impressions[alive]
        return np.asarray((clicks + mean * _PRIOR_IMPRESSIONS) / (impressions + _PRIOR_IMPRESSIONS))

    def learn(self, slates: Sequence[SlateResponse], events: Sequence[AnyEvent]) -> None:
        """Remember slates until they are shown; count what was shown and clicked."""
        self._open.update((slate.request_id, slate.item_ids) for slate in slates)
        index = self._world.items.index
        for event in events:
            if isinstance(event, Impression):
                for item in self._open.pop(event.request_id, [])[: len(event.positions)]:
                    self._impressions[index[item]] += 1
            elif isinstance(event, Click):
                self._clicks[index[event.item_id]] += 1

    def state(self) -> dict[str, Any]:
        """Keep the counts."""
        return {"impressions": self._impressions.tolist(), "clicks": self._clicks.tolist(), "open": dict(self._open)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the counts."""
        if state:
            self._impressions, self._clicks = np.array(state["impressions"]), np.array(state["clicks"])
            self._open = dict(state["open"])


class OraclePolicy(_Ranker):
    """The best items by the world's own probabilities: what no learner can beat."""

    name = "oracle"

    def _scores(self, requests: Requests, alive: Ints, effects: Effects) -> Floats:
        users = np.repeat(requests.user, len(alive))
        chances = self._world.choice.probabilities(users, np.tile(alive, len(requests)), effects)
        per_click, per_purchase = _ORACLE_WEIGHTS
        worth = chances.click * (per_click + per_purchase * chances.purchase)
        return np.asarray(worth.reshape(len(requests), len(alive)))


def make_policy(name: str, world: World) -> Policy:
    """Make the policy of a name: random, popularity or oracle."""
    kinds: dict[str, type[_Ranker]] = {kind.name: kind for kind in (RandomPolicy, PopularityPolicy, OraclePolicy)}
    return kinds[name](world)
