"""Probabilities given before learning, kept row by row as Parquet, to be judged by other measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from springtide.contracts.tasks import TASKS
from trainer.chain_model import ScoredBatch

ROWS_PER_FILE: Final = 100_000
"""Rows after which a file is written even between checkpoints."""


class ScoreLog:
    """Appends to `folder/CHAIN/*.parquet`; after a crash some rows come again, with what the resumed model gave.

    Columns: request_id, item_id, impression_time_ms, phase, weight (inverse of the row's chance to be kept), and a
    probability per task.

    Args:
        folder: where the files go; none keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._parts: dict[str, list[pa.Table]] = {}

    def add(self, chain: str, scored: Sequence[ScoredBatch]) -> None:
        """Take rows that were scored just before they were, or will be, learned; corrections are left out."""
        if self._folder is None:
            return
        parts = self._parts.setdefault(chain, [])
        parts.extend(_table(batch) for batch in scored)
        if sum(part.num_rows for part in parts) >= ROWS_PER_FILE:
            self._write(chain)

    def flush(self) -> None:
        """Write what is held."""
        for chain in self._parts:
            self._write(chain)

    def _write(self, chain: str) -> None:
        parts, self._parts[chain] = self._parts[chain], []
        rows = pa.concat_tables(parts) if parts else None
        if self._folder is None or rows is None or not rows.num_rows:
            return
        folder = self._folder / chain
        folder.mkdir(parents=True, exist_ok=True)
        name = uuid4().hex
        beside = folder / f"{name}.new"
        pq.write_table(rows, beside)
        beside.replace(folder / f"{name}.parquet")


def _table(batch: ScoredBatch) -> pa.Table:
    samples = batch.samples
    sizes = [len(sample.item_ids) for sample in samples]
    times_N = np.repeat(np.array([sample.impression_time_ms for sample in samples], np.int64), sizes)
    columns = {
        "request_id": pa.array(np.repeat(np.array([sample.request_id for sample in samples], object), sizes)),
        "item_id": pa.array([item for sample in samples for item in sample.item_ids]),
        "impression_time_ms": pa.array(times_N),
        "phase": pa.array(np.repeat(np.array([sample.phase for sample in samples], object), sizes)),
    }
    columns["weight"] = pa.array(batch.targets.sampling_N)
    probabilities = {task: pa.array(batch.probabilities_NT[:, column]) for column, task in enumerate(TASKS)}
    table = pa.table(columns | probabilities)
    return table.filter(pc.not_equal(table["phase"], "corrected"))
