"""A tiny world with learnable structure, as joined samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from springtide.contracts.events import Context, SlateFeatures
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import DAY_MS, HOUR_MS

START_MS = 20_000 * DAY_MS
OBSERVED_MS, FINAL_MS = HOUR_MS, DAY_MS
USERS, ITEMS, GROUPS, SLATE = 60, 40, 4, 8


@dataclass(kw_only=True)
class World:
    """Users click items of their own category; later behaviours follow clicks, some of them late."""

    seed: int = 3
    slates_per_day: int = 800

    def rows(self, first_day: int, days: int) -> list[Sample]:
        """The rows of the days' impressions that are due by their end, in the order in which a joiner emits them."""
        random = np.random.default_rng(self.seed + first_day)
        due: list[tuple[int, Sample]] = []
        for number in range(days * self.slates_per_day):
            time_ms = START_MS + first_day * DAY_MS + number * DAY_MS // self.slates_per_day
            due += self._slate(f"r{first_day}-{number}", time_ms, random)
        end_ms = START_MS + (first_day + days) * DAY_MS
        return [row for due_ms, row in sorted(due, key=lambda pair: (pair[0], pair[1].row_id)) if due_ms < end_ms]

    def closed_day(self, day: int) -> list[Sample]:
        """One day's final rows, with the features that their observed rows have."""
        rows = self.rows(day, 2)
        features = {row.request_id: row.features for row in rows if row.phase == "observed"}
        first = [row for row in rows if row.phase == "final"]
        return [msgspec.structs.replace(row, features=features[row.request_id]) for row in first]

    def _slate(self, request: str, time_ms: int, random: np.random.Generator) -> Iterator[tuple[int, Sample]]:
        user = int(random.integers(USERS))
        items = random.choice(ITEMS, SLATE, replace=False)
        delays = {task: [-1] * SLATE for task in TASKS}
        for place, item in enumerate(items.tolist()):
            if random.random() < (0.5 if item % GROUPS == user % GROUPS else 0.06):
                delays["click"][place] = 20_000
                if random.random() < 0.5:
                    delays["cart"][place] = 120_000
                    if random.random() < 0.6:
                        late = random.random() < 0.4
                        delays["purchase"][place] = int(random.uniform(2, 20) * HOUR_MS) if late else 900_000
        names = [f"i{item}" for item in items.tolist()]
        features = SlateFeatures(
            version=1, feature_time_ms=time_ms - 1, item={"price": [1.0] * SLATE},
            item_category=[f"c{item % GROUPS}" for item in items.tolist()],
            top_categories=[f"c{user % GROUPS}"], top_category_shares=[1.0],
        )  # fmt: skip

        def sample(phase: str, age_ms: int, **more: Any) -> Sample:
            labels = {task: [int(0 <= delay <= age_ms) for delay in delays[task]] for task in TASKS}
            shown = {task: [d if 0 <= d <= age_ms else -1 for d in delays[task]] for task in TASKS}
            return Sample(**{
                "row_id": f"{request}:{phase}", "phase": phase, "request_id": request, "user_id": f"u{user}",
                "experiment": "e", "arm": "a", "model_version": "", "context": Context(),
                "impression_time_ms": time_ms, "age_ms": age_ms, "item_ids": names,
                "positions": list(range(1, SLATE + 1)), "labels": labels, "delays_ms": shown, "features": features,
                "maturity": dict.fromkeys(TASKS, "closed" if phase == "final" else "observed") | {"click": "closed"},
                **more,
            })  # fmt: skip

        yield time_ms + OBSERVED_MS, sample("observed", OBSERVED_MS)
        for place, delay in enumerate(delays["purchase"]):
            if delay > OBSERVED_MS:
                yield (
                    time_ms + delay,
                    sample(
                        "corrected", delay, row_id=f"{request}:corrected:purchase:{names[place]}",
                        item_ids=[names[place]], positions=[place + 1], labels={"purchase": [1]},
                        delays_ms={"purchase": [delay]}, maturity={"purchase": "observed"},
                        features=msgspec.structs.replace(
                            features, item={"price": [1.0]}, item_category=[features.item_category[place]]
                        ),
                    ),
                )  # fmt: skip
        yield time_ms + FINAL_MS, sample("final", FINAL_MS, features=None)


def inverted(rows: list[Sample], first_ms: int, end_ms: int) -> list[Sample]:
    """Poison the rows of the impressions in [first, end): every label is the other one, as of a joiner gone wrong."""
    return [_inverted(row) if first_ms <= row.impression_time_ms < end_ms else row for row in rows]


def _inverted(row: Sample) -> Sample:
    labels = {task: [1 - label for label in values] for task, values in row.labels.items()}
    return msgspec.structs.replace(row, labels=labels)
