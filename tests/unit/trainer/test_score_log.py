"""Probabilities before learning, kept row by row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from springtide.model.targets import targets_from_samples
from trainer.chain_model import ScoredBatch
from trainer.score_log import ScoreLog


def test_every_row_but_corrections_is_kept_with_its_own_probability(sample: Callable[..., Any], tmp_path: Path) -> None:
    samples = [sample("a", items=2), sample("b", phase="corrected", items=1), sample("c", phase="final", items=3)]
    probabilities_NT = np.arange(18).reshape(6, 3).astype(np.float32) * np.float32(0.01)
    scored = ScoredBatch(samples=samples, targets=targets_from_samples(samples), probabilities_NT=probabilities_NT)
    log = ScoreLog(tmp_path)
    log.add("daily", [scored])
    assert not list(tmp_path.rglob("*.parquet")), "a file per call would be thousands"
    log.flush()
    log.flush()
    (file,) = (tmp_path / "daily").glob("*.parquet")
    rows = pd.read_parquet(file)
    assert rows["request_id"].tolist() == ["a", "a", "c", "c", "c"]
    assert rows["item_id"].tolist() == ["i0", "i1", "i0", "i1", "i2"]
    np.testing.assert_allclose(rows["click"], probabilities_NT[[0, 1, 3, 4, 5], 0])


def test_without_a_folder_nothing_is_kept(sample: Callable[..., Any]) -> None:
    samples = [sample("a")]
    probabilities_NT = np.zeros((2, 3), np.float32)
    scored = ScoredBatch(samples=samples, targets=targets_from_samples(samples), probabilities_NT=probabilities_NT)
    log = ScoreLog(None)
    log.add("daily", [scored])
    log.flush()
