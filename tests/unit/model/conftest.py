"""A network small enough for fast tests, and made-up slates and samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from springtide.contracts.events import Context, SlateFeatures
from springtide.contracts.features import ITEM_FEATURES, USER_FEATURES
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.model.config import TABLES, ModelConfig
from springtide.model.presets import preset

NOW = 1_700_000_000_000

MakeSample = Callable[..., Sample]


@pytest.fixture
def sizes() -> ModelConfig:
    """The default composition in small."""
    return preset(
        sizes=ModelConfig(
            embedding_dim=4,
            experts=3,
            expert_units=(8, 6),
            tower_units=(5,),
            capacities={"user": 40, "item": 60, "category": 16, "device": 4, "country": 8, "position": 12},
            admission_counts=dict.fromkeys(TABLES, 1),
        )
    )


@pytest.fixture
def make_sample() -> MakeSample:
    def make(seed: int = 0, items: int = 3, *, known: bool = True) -> Sample:
        random = np.random.default_rng(seed)
        features = SlateFeatures(
            version=1,
            feature_time_ms=NOW - 1000,
            user={name: float(random.integers(0, 9)) for name in USER_FEATURES},
            top_categories=["c1", "c2"],
            top_category_shares=[0.6, 0.4],
            recent_items=[f"i{item}" for item in random.integers(0, 30, int(random.integers(0, 15)))],
            item={name: random.integers(0, 30, items).astype(float).tolist() for name in ITEM_FEATURES},
            item_category=[f"c{category}" for category in random.integers(1, 5, items)],
        )
        return Sample(
            row_id=f"r{seed}:observed",
            phase="observed",
            request_id=f"r{seed}",
            user_id=f"u{seed}",
            experiment="demo",
            arm="control",
            model_version="",
            context=Context(device="phone", country="NL"),
            impression_time_ms=NOW + seed,
            age_ms=3_600_000,
            item_ids=[f"i{item}" for item in random.integers(0, 30, items)],
            positions=list(range(1, items + 1)),
            labels={task: random.integers(0, 2, items).tolist() for task in TASKS},
            delays_ms={},
            maturity=dict.fromkeys(TASKS, "closed"),
            features=features if known else None,
        )

    return make
