"""Fixed inputs whose scores travel in a bundle: whoever loads it must get the same scores before serving it."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from torch import Tensor

from springtide.contracts.errors import BundleError
from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig
from springtide.model.id_map import Rows
from springtide.model.inputs import BEHAVIOUR_CODES, DENSE_FEATURES, FEATURES, RawColumns
from springtide.model.scorer import TableScorer
from springtide.model.state import ModelState

SLATES: Final = 4
ROWS: Final = 16
HISTORY: Final = (0, 1, 3, 8)
TOLERANCE: Final = 1e-5
"""Largest difference of a probability between machines."""


def golden_inputs(config: ModelConfig) -> tuple[RawColumns, dict[str, Rows]]:
    """Return columns and rows per feature, the same for equal configurations everywhere."""
    random = np.random.default_rng(config.seed)
    columns = RawColumns(
        dense_NF=random.normal(size=(ROWS, len(DENSE_FEATURES))).astype(np.float32),
        slate_N=np.repeat(np.arange(SLATES), ROWS // SLATES),
        time_S=np.zeros(SLATES, np.int64),
        ids={},
        history_lengths_S=np.array(HISTORY, np.int64),
        behaviours=np.arange(sum(HISTORY)) % len(BEHAVIOUR_CODES) + 1,
    )
    counts = {True: SLATES, False: ROWS}
    rows = {
        feature.name: random.integers(
            0,
            config.capacities[feature.table],
            sum(HISTORY) if feature.name == "history" else counts[feature.per_slate],
        )
        for feature in FEATURES
    }
    return columns, rows


def golden_scores(
    config: ModelConfig, dense: Mapping[str, Tensor], tables: Mapping[str, Tensor]
) -> dict[str, list[float]]:
    """Return the scores of the golden inputs per task, for the manifest.

    Args:
        config: of the network.
        dense: DenseNetwork.state_dict().
        tables: whole tables by name.
    """
    scores_NT = TableScorer(config, dense, tables).score_rows(*golden_inputs(config))
    return {task: scores_NT[:, column].tolist() for column, task in enumerate(TASKS)}


def check_golden_scores(state: ModelState) -> None:
    """Verify that a loaded state scores as its publisher did.

    Raises:
        BundleError: the scores differ by more than TOLERANCE, or the manifest holds none.
    """
    expected = state.manifest.golden_scores
    found = golden_scores(state.config, state.dense, state.tables)
    for task in TASKS:
        wanted = expected.get(task, [])
        if len(wanted) != ROWS or not np.allclose(wanted, found[task], rtol=0.0, atol=TOLERANCE):
            raise BundleError(
                f"{state.manifest.version}: expected golden scores of {task} {wanted[:3]}…, got {found[task][:3]}…; "
                "keep the old model and publish a new base"
            )
