"""A model whose numbers depend on every row it learned and on their order, in microseconds; and a writer for it."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from springtide.contracts.bundle import Manifest
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import HOUR_MS
from springtide.model.bundle import write_bundle
from springtide.model.config import ModelConfig
from springtide.model.targets import targets_from_samples
from trainer.chain_model import Outcome, ScoredBatch
from trainer.guard import HarmfulUpdateError
from trainer.messages import Export


class FakeChain:
    """In the place of ChainModel."""

    reach: Callable[[str], None]

    def __init__(self, config: ModelConfig, *_: Any) -> None:
        self.config, self.network = config, SimpleNamespace(owned=())
        self._weights_W = torch.zeros(8, dtype=torch.float64)
        self._learned: list[int] = []

    def run(self, batches: Sequence[Sequence[Sample]], mode: str, arrived_KT: Tensor, exhausted: bool) -> Outcome:
        scored = []
        for batch in batches:
            targets = targets_from_samples(batch)
            scores_NT = np.full((len(targets.labels_NT), len(TASKS)), float(self._weights_W[0].sigmoid()), np.float32)
            scored.append(ScoredBatch(samples=batch, targets=targets, probabilities_NT=scores_NT))
            if mode == "learn":
                self.reach("stepping")
                for sample in batch:
                    self._learn(sample)
        newest_ms = max((row.impression_time_ms for batch in batches for row in batch), default=0)
        return Outcome(scored=scored, steps=len(batches), newest_ms=newest_ms, exhausted=exhausted)

    def _learn(self, sample: Sample) -> None:
        number = zlib.crc32(sample.row_id.encode())
        self._weights_W *= 0.999
        self._weights_W[number % 8] += 1e-3 * (number % 1009)
        self._learned.append(number)

    def local_state(self) -> dict[str, Tensor]:
        return {"weights": self._weights_W.clone(), "learned": torch.tensor(self._learned)}

    def load_local_state(self, state: dict[str, Tensor]) -> None:
        self._weights_W.copy_(state["weights"])
        self._learned = state["learned"].tolist()


class FakeWriter:
    """In the place of BundleWriter: real folders without tensors; what was learned in some hours is harmful."""

    reach: Callable[[str], None]
    harmful_hours: frozenset[int] = frozenset()
    compared = False
    """The trial names a version that is served."""

    def __init__(self, root: Path, *_: Any) -> None:
        self._root = root

    def write(self, manifest: Manifest, exports: Sequence[Export]) -> Manifest:
        folder = self._root / manifest.chain / manifest.version
        shutil.rmtree(folder, ignore_errors=True)
        written = write_bundle(folder, manifest, {}, {}, {})
        self.reach("bundle-written")
        if self.compared and manifest.newest_event_ms // HOUR_MS in self.harmful_hours:
            shutil.rmtree(folder)
            raise HarmfulUpdateError("click: expected better")
        self.reach("bundle-admitted")
        return msgspec.structs.replace(written, metrics={**written.metrics, "click/closed_ne": 0.9})


def fake_export(*_: Any, **__: Any) -> Export:
    """In the place of export_part."""
    return Export(tables={}, dense={}, ids={})
