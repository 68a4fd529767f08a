"""A policy for the simulator's offline story that learns as the system does, in one process: for measuring models.

Features are kept in hourly buckets, labels become samples after the label windows, a trainer rank learns them with
delayed-feedback weights and every request is ranked by the model of that moment. No Kafka, Faust, Feast or Ray.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from simulator.arrivals import Requests
from simulator.effects import Effects
from simulator.world import World
from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Label, Purchase, SlateFeatures
from springtide.contracts.features import BEHAVIOURS, COUNTS, FEATURE_SET_VERSION, MAX_RECENT_ITEMS, MAX_TOP_CATEGORIES
from springtide.contracts.samples import Maturity, Sample
from springtide.contracts.scoring import SlateResponse
from springtide.contracts.tasks import TASKS, Task
from springtide.model.delayed.phases import Method
from springtide.model.fusion import fuse
from springtide.model.inputs import RawColumns, columns_from_slate, lookup_columns
from springtide.model.level import HOURS
from springtide.model.scorer import TableScorer
from trainer.chain_model import ChainModel
from trainer.packing import pack

HOUR_MS: Final = 3_600_000
WEEK_HOURS: Final = 168
_BUCKETS: Final = {"1h": 1, "1d": 24, "7d": WEEK_HOURS}
_TASK_OF: Final[dict[type[Label], Task]] = {Click: "click", Cart: "cart", Purchase: "purchase"}


class RollingCounts:
    """Counts per entity and behaviour over the last hour, day and week, in whole hours."""

    def __init__(self, entities: int) -> None:
        self._buckets = np.zeros((entities, len(BEHAVIOURS), WEEK_HOURS), np.int32)
        self._hour = 0
        self._sums = np.zeros((entities, len(COUNTS)))

    def add(self, entity: int, behaviour: int) -> None:
        """Count one behaviour now."""
        self._buckets[entity, behaviour, self._hour % WEEK_HOURS] += 1
        self._sums[entity, behaviour * len(_BUCKETS) : (behaviour + 1) * len(_BUCKETS)] += 1

    def move(self, now_ms: int) -> None:
        """Let time pass."""
        hour = now_ms // HOUR_MS
        if hour == self._hour:
            return
        for passed in range(max(self._hour + 1, hour - WEEK_HOURS + 1), hour + 1):
            self._buckets[:, :, passed % WEEK_HOURS] = 0
        self._hour = hour
        for place, hours in enumerate(_BUCKETS.values()):
            recent = np.arange(hour - hours + 1, hour + 1) % WEEK_HOURS
            self._sums[:, place :: len(_BUCKETS)] = self._buckets[:, :, recent].sum(axis=2)

    def of(self, entities: Any) -> Any:
        """Return counts in the order of COUNTS."""
        return self._sums[entities]


@dataclass(kw_only=True, slots=True)
class UserMemory:
    """What is known of a user beside counts."""

    recent: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=MAX_RECENT_ITEMS))
    """Item and task of the last behaviours."""
    categories: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    prices: deque[float] = field(default_factory=lambda: deque(maxlen=30))
    last_click_ms: int = 0


@dataclass(kw_only=True, slots=True)
class Slate:
    """A served slate until its labels are closed."""

    sample: Sample
    label_ms: dict[Task, dict[str, int]] = field(default_factory=lambda: {task: {} for task in TASKS})
    observed: bool = False
    predicted_NT: NDArray[np.float32] | None = None
    """Progressive, with the position known."""


@dataclass(kw_only=True, slots=True)
class Matured:
    """Rows whose labels are closed, with what was predicted of them."""

    day: list[int] = field(default_factory=list)
    labels: list[list[float]] = field(default_factory=list)
    served: list[list[float]] = field(default_factory=list)
    progressive: list[list[float]] = field(default_factory=list)


class LearningPolicy:
    """Ranks by a model that learns from what its ranking brought about."""

    def __init__(
        self,
        world: World,
        model: ChainModel,
        *,
        method: Method,
        observation_ms: int,
        attribution_ms: dict[Task, int],
        weights: dict[str, float],
        epsilon: float = 0.1,
        batch_rows: int = 512,
        learn_every_ms: int = HOUR_MS // 4,
        candidates: int = 100,
    ) -> None:
        self._world, self._model, self._method = world, model, method
        self._observation_ms, self._attribution_ms = observation_ms, attribution_ms
        self._weights, self._epsilon, self._batch_rows = weights, epsilon, batch_rows
        self._learn_every_ms, self._learned_ms = learn_every_ms, 0
        self._candidates = candidates
        self._random = np.random.default_rng(world.config.seed)
        self._users = RollingCounts(len(world.population.rate))
        self._items = RollingCounts(len(world.items.ids))
        self._memory: dict[int, UserMemory] = defaultdict(UserMemory)
        self._slates: dict[str, Slate] = {}
        self._due: list[tuple[int, str, str]] = []
        self._seen: set[str] = set()
        self._fresh: list[Sample] = []
        self._arrived_KT = np.ones((HOURS, len(TASKS)))  # labels within the observation window and k hours more
        self._labels_T = np.ones(len(TASKS))
        self._scorer: TableScorer | None = None
        self.matured = Matured()
        self.rows_learned, self.learn_seconds = 0, 0.0

    def rank(self, requests: Requests, now_ms: int, effects: Effects) -> list[SlateResponse]:
        """Answer each request with a slate, and remember it."""
        self._users.move(now_ms)
        self._items.move(now_ms)
        alive = np.flatnonzero(self._world.items.alive(now_ms))
        rows = zip(requests.request_ids(), requests.user.tolist(), requests.time_ms.tolist(), strict=True)
        return [self._slate(request_id, user, time_ms, alive) for request_id, user, time_ms in rows]

    def learn(self, slates: Sequence[SlateResponse], events: Sequence[AnyEvent]) -> None:
        """See what has happened; learn what is due. A repeated event is none."""
        for event in events:
            if event.event_id in self._seen:
                continue
            self._seen.add(event.event_id)
            if isinstance(event, Impression):
                self._shown(event)
            elif isinstance(event, Label):
                self._labelled(event)
        if events:
            self._pass_time(max(event.event_time_ms for event in events))

    def state(self) -> dict[str, Any]:
        """Keep nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up nothing."""

    def _slate(self, request_id: str, user: int, time_ms: int, alive: NDArray[np.int64]) -> SlateResponse:
        chosen = self._choose(user, alive)
        features = self._features(user, chosen)
        ids = [self._world.items.ids[item] for item in chosen.tolist()]
        context, user_id = self._world.context(user), self._world.population.user_id(user)
        columns = columns_from_slate(features, ids, user_id, context, time_ms)
        scores = self._score(columns)
        order = self._explored(np.argsort(-fuse(scores, "sum", self._weights), kind="stable").tolist())
        order = order[: self._world.config.slate_size]
        items = [ids[place] for place in order]
        kept = msgspec.structs.replace(
            features,
            item={name: [values[place] for place in order] for name, values in features.item.items()},
            item_category=[features.item_category[place] for place in order],
        )
        sample = Sample(
            row_id=f"{request_id}:observed", phase="observed", request_id=request_id, user_id=user_id, experiment="",
            arm="", model_version="", context=context, impression_time_ms=time_ms, age_ms=self._observation_ms,
            item_ids=items, positions=list(range(1, len(items) + 1)), labels={}, delays_ms={}, maturity={},
            scores={task: scores[order, column].tolist() for column, task in enumerate(TASKS)}, features=kept,
        )  # fmt: skip
        self._slates[request_id] = Slate(sample=sample)
        return SlateResponse(
            request_id=request_id, experiment="baseline", arm="model", model_version="", policy="model", fallback="",
            item_ids=items, scores={}, propensities=[],
        )  # fmt: skip

    def _choose(self, user: int, alive: NDArray[np.int64]) -> NDArray[np.int64]:
        items = self._world.items
        counts = self._items.of(alive)
        rate = (counts[:, COUNTS.index("clicks_7d")] + 2.0) / (counts[:, COUNTS.index("impressions_7d")] + 40.0)
        quarter = self._candidates // 4
        popular = alive[np.argpartition(-rate, quarter)[:quarter]]
        liked = self._memory[user].categories
        names = sorted(liked, key=lambda name: -liked[name])[:3]
        same = alive[np.isin(items.category[alive], [int(name[1:]) for name in names])]
        same = self._random.permutation(same)[:quarter]
        newest = alive[np.argpartition(-items.born_ms[alive], 15)[:15]]
        rest = self._random.choice(alive, self._candidates, replace=False)
        merged = np.concatenate([popular, same, newest, rest])
        _, first = np.unique(merged, return_index=True)
        return np.asarray(merged[np.sort(first)][: self._candidates])

    def _features(self, user: int, chosen: NDArray[np.int64]) -> SlateFeatures:
        world, memory = self._world, self._memory[user]
        counts = self._items.of(chosen)
        item: dict[str, Any] = {name: counts[:, column] for column, name in enumerate(COUNTS)}
        item["price"] = world.items.price[chosen]
        item["born_ms"] = world.items.born_ms[chosen].astype(np.float64)
        values = dict(zip(COUNTS, self._users.of(user).tolist(), strict=True))
        values["last_click_ms"] = float(memory.last_click_ms)
        values["mean_clicked_price_7d"] = float(np.mean(memory.prices)) if memory.prices else 0.0
        total = sum(memory.categories.values())
        top = sorted(memory.categories, key=lambda name: -memory.categories[name])[:MAX_TOP_CATEGORIES]
        return SlateFeatures(
            version=FEATURE_SET_VERSION, feature_time_ms=1, user=values, top_categories=top,
            top_category_shares=[memory.categories[name] / total for name in top],
            recent_items=[item_id for item_id, _ in memory.recent],
            recent_behaviours=[done for _, done in memory.recent],
            item=item, item_category=[world.items.category_names[c] for c in world.items.category[chosen].tolist()],
        )  # fmt: skip

    def _score(self, columns: RawColumns) -> NDArray[np.float32]:
        if self._scorer is None:
            tables = {name: self._model.network.rows(name) for name in self._model.ids}
            self._scorer = TableScorer(self._model.config, self._model.network.dense(), tables)
        return self._scorer.score_rows(columns, lookup_columns(columns, self._model.ids))

    def _explored(self, order: list[int]) -> list[int]:
        left, placed = list(order), []
        for _ in range(min(self._world.config.slate_size, len(order))):
            explore = self._random.random() < self._epsilon
            placed.append(left.pop(int(self._random.integers(len(left))) if explore else 0))
        return placed

    def _shown(self, event: Impression) -> None:
        slate = self._slates.get(event.request_id)
        if slate is None:
            return
        spots = [position - 1 for position in event.positions]
        sample = slate.sample
        assert sample.features is not None
        slate.sample = msgspec.structs.replace(
            sample,
            impression_time_ms=event.event_time_ms,
            positions=event.positions,
            item_ids=[sample.item_ids[spot] for spot in spots],
            scores={task: [values[spot] for spot in spots] for task, values in sample.scores.items()},
            features=msgspec.structs.replace(
                sample.features,
                item={name: [values[spot] for spot in spots] for name, values in sample.features.item.items()},
                item_category=[sample.features.item_category[spot] for spot in spots],
            ),
        )
        user = int(event.user_id[1:])
        for item in slate.sample.item_ids:
            self._users.add(user, 0)
            self._items.add(self._world.items.index[item], 0)
        last = max(self._attribution_ms.values())
        heapq.heappush(self._due, (event.event_time_ms + self._observation_ms, event.request_id, "observed"))
        heapq.heappush(self._due, (event.event_time_ms + last, event.request_id, "final"))

    def _labelled(self, event: Label) -> None:
        task = _TASK_OF[type(event)]
        user, item = int(event.user_id[1:]), self._world.items.index[event.item_id]
        self._users.add(user, 1 + TASKS.index(task))
        self._items.add(item, 1 + TASKS.index(task))
        memory = self._memory[user]
        memory.recent.append((event.item_id, task))
        if task == "click":
            memory.categories[self._world.items.category_names[self._world.items.category[item]]] += 1
            memory.prices.append(float(self._world.items.price[item]))
            memory.last_click_ms = event.event_time_ms
        slate = self._slates.get(event.request_id)
        if slate is None or event.item_id not in slate.sample.item_ids:
            return
        delay = event.event_time_ms - slate.sample.impression_time_ms
        if delay > self._attribution_ms[task]:
            return
        slate.label_ms[task].setdefault(event.item_id, event.event_time_ms)
        if slate.observed:
            place = slate.sample.item_ids.index(event.item_id)
            self._fresh.append(self._one(slate.sample, place, task))

    def _pass_time(self, now_ms: int) -> None:
        while self._due and self._due[0][0] <= now_ms:
            _, request_id, phase = heapq.heappop(self._due)
            slate = self._slates[request_id]
            if phase == "final":
                self._mature(self._slates.pop(request_id))
                continue
            slate.observed = True
            maturity: dict[Task, Maturity] = {
                task: "closed" if self._attribution_ms[task] <= self._observation_ms else "observed" for task in TASKS
            }
            slate.sample = msgspec.structs.replace(slate.sample, labels=self._labels(slate), maturity=maturity)
            self._fresh.append(slate.sample)
        if now_ms - self._learned_ms >= self._learn_every_ms and self._fresh:
            self._learned_ms = now_ms
            self._train()

    def _train(self) -> None:
        arrived_KT = torch.tensor(self._arrived_KT / self._labels_T, dtype=torch.float32)
        torch.set_num_threads(1)
        outcome = self._model.run(list(pack(self._fresh, self._batch_rows)), "learn", arrived_KT, exhausted=True)
        for batch in outcome.scored:
            start = 0
            for sample in batch.samples:
                end = start + len(sample.item_ids)
                if sample.phase == "observed" and sample.request_id in self._slates:
                    self._slates[sample.request_id].predicted_NT = batch.probabilities_NT[start:end]
                start = end
            self.rows_learned += start
        self._fresh.clear()
        self._scorer = None

    def _mature(self, slate: Slate) -> None:
        labels = self._labels(slate)
        if slate.predicted_NT is None:
            return
        day = (slate.sample.impression_time_ms - self._world.config.start_ms) // (24 * HOUR_MS)
        self.matured.day += [day] * len(slate.sample.item_ids)
        self.matured.labels += np.array([labels[task] for task in TASKS]).T.tolist()
        self.matured.served += np.array([slate.sample.scores[task] for task in TASKS]).T.tolist()
        self.matured.progressive += slate.predicted_NT.tolist()
        for column, task in enumerate(TASKS):
            delays = [at - slate.sample.impression_time_ms for at in slate.label_ms[task].values()]
            ages_K = self._observation_ms + HOUR_MS * np.arange(HOURS)
            self._arrived_KT[:, column] += np.searchsorted(np.sort(delays), ages_K, side="right")
            self._labels_T[column] += len(delays)

    @staticmethod
    def _labels(slate: Slate) -> dict[Task, list[int]]:
        return {task: [int(item in slate.label_ms[task]) for item in slate.sample.item_ids] for task in TASKS}

    @staticmethod
    def _one(sample: Sample, place: int, task: Task) -> Sample:
        """Return the correction of one item: a late positive."""
        assert sample.features is not None
        features = msgspec.structs.replace(
            sample.features,
            item={name: [values[place]] for name, values in sample.features.item.items()},
            item_category=[sample.features.item_category[place]],
        )
        return msgspec.structs.replace(
            sample, phase="corrected", row_id=f"{sample.request_id}:corrected:{task}:{sample.item_ids[place]}",
            item_ids=[sample.item_ids[place]], positions=[sample.positions[place]], labels={task: [1]},
            maturity={task: "observed"}, features=features,
        )  # fmt: skip


def lay_out(values: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return rows as (N, T)."""
    return np.asarray(values, np.float64).reshape(-1, len(TASKS))
