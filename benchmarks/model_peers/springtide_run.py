"""Springtide's own presets on the same job."""

from typing import Any

import numpy as np
import torch

from benchmarks.model_peers.contest import Floats, Rows, Setting, main
from springtide.model.config import ModelConfig
from springtide.model.presets import preset
from springtide.model.tabular import Columns, TabularLearner, TabularNetwork, shuffled


class Springtide:
    """A `System`."""

    def __init__(self, setting: Setting, seed: int) -> None:
        sizes = ModelConfig(
            embedding_dim=setting.dim,
            experts=setting.experts,
            expert_units=setting.trunk_units if setting.model == "shared-bottom" else setting.expert_units,
            tower_units=setting.tower_units,
            dense_learning_rate=setting.learning_rate,
            precision="bfloat16" if setting.bfloat16 else "float32",
            seed=seed,
        )
        self._batch = setting.batch
        self._network = TabularNetwork(
            preset(setting.model, sizes),
            Columns(cardinalities=setting.cardinalities, dense=setting.dense),
            heads=setting.tasks,
        )
        self._learner = TabularLearner(self._network)
        self._random = torch.Generator().manual_seed(seed)

    def lay_out(self, rows: Rows) -> Any:
        """Return tensors, ids by column."""
        return (
            torch.from_numpy(rows.dense_NI),
            torch.from_numpy(np.ascontiguousarray(rows.ids_NC.T)),
            torch.from_numpy(rows.labels_NK),
        )

    def step(self, laid_out: Any) -> None:
        """Learn one batch."""
        self._network.train()
        self._learner.learn(*laid_out)

    def epoch(self, rows: Rows) -> None:
        """Learn all rows in shuffled batches."""
        dense_NI, ids_CN, labels_NK = self.lay_out(rows)
        self._network.train()
        for chosen_B in shuffled(len(rows), self._batch, self._random):
            self._learner.learn(dense_NI[chosen_B], ids_CN[:, chosen_B], labels_NK[chosen_B])

    def scores(self, laid_out: Any) -> Floats:
        """Return probabilities."""
        self._network.eval()
        with torch.no_grad():
            result: Floats = self._network(laid_out[0], laid_out[1]).sigmoid().numpy()
        return result


if __name__ == "__main__":
    main(Springtide)
