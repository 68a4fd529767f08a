"""Samples made by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from springtide.contracts.events import Context
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS

DAY_MS = 86_400_000


def make_sample(request: str = "r1", phase: Any = "observed", time_ms: int = 0, items: int = 2, **more: Any) -> Sample:
    """One slate whose first item was clicked."""
    first = [1] + [0] * (items - 1)
    values: dict[str, Any] = {
        "row_id": f"{request}:{phase}",
        "phase": phase,
        "request_id": request,
        "user_id": "u1",
        "experiment": "e",
        "arm": "a",
        "model_version": "",
        "context": Context(),
        "impression_time_ms": time_ms,
        "age_ms": 0,
        "item_ids": [f"i{number}" for number in range(items)],
        "positions": list(range(1, items + 1)),
        "labels": {task: first if task == "click" else [0] * items for task in TASKS},
        "delays_ms": {
            task: [5_000 if label else -1 for label in (first if task == "click" else [0] * items)] for task in TASKS
        },
        "maturity": dict.fromkeys(TASKS, "closed" if phase == "final" else "observed"),
    }
    return Sample(**{**values, **more})


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """Make a sample."""
    return make_sample
