# mypy: disable-error-code="import-not-found"
"""DeepCTR-Torch, with its own fit: Adam over everything, L2 over whole tables by default."""

from typing import Any

import numpy as np
import torch
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models.multitask.mmoe import MMOE
from deepctr_torch.models.multitask.ple import PLE
from deepctr_torch.models.multitask.sharedbottom import SharedBottom

from benchmarks.model_peers.contest import Floats, Rows, Setting, main


class DeepCtrTorch:
    """A `System`."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self._setting = setting
        features = [SparseFeat(f"c{n}", ids, embedding_dim=setting.dim) for n, ids in enumerate(setting.cardinalities)]
        features += [DenseFeat(f"d{column}", 1) for column in range(setting.dense)]
        names = tuple(f"task{task}" for task in range(setting.tasks))
        given: dict[str, Any] = {
            "tower_dnn_hidden_units": setting.tower_units,
            "task_names": names,
            "task_types": ("binary",) * setting.tasks,
            "seed": seed,
        }
        experts = {"expert_dnn_hidden_units": setting.expert_units, "gate_dnn_hidden_units": ()}
        kinds: dict[str, Any] = {
            "shared-bottom": lambda: SharedBottom(features, bottom_dnn_hidden_units=setting.trunk_units, **given),
            "mmoe": lambda: MMOE(features, num_experts=setting.experts, **experts, **given),
            "ple": lambda: PLE(features, shared_expert_num=setting.experts, **experts, **given),
        }
        self._model = kinds[setting.model]()
        adam = torch.optim.Adam(self._model.parameters(), lr=setting.learning_rate)
        self._model.compile(adam, loss=["binary_crossentropy"] * setting.tasks)

    def lay_out(self, rows: Rows) -> Any:
        """Return one float matrix, ids first, and labels."""
        columns_NF = np.concatenate([rows.ids_NC.astype(np.float32), rows.dense_NI], axis=1)
        return torch.from_numpy(columns_NF), torch.from_numpy(rows.labels_NK)

    def step(self, laid_out: Any) -> None:
        """Learn one batch as `fit` does."""
        model = self._model.train()
        columns_NF, labels_NK = laid_out
        scores_NK = model(columns_NF)
        model.optim.zero_grad()
        losses = [
            each(scores_NK[:, task], labels_NK[:, task], reduction="sum") for task, each in enumerate(model.loss_func)
        ]
        (sum(losses) + model.get_regularization_loss() + model.aux_loss).backward()
        model.optim.step()

    def epoch(self, rows: Rows) -> None:
        """Learn all rows by its fit."""
        columns: dict[str, Any] = {
            f"c{column}": rows.ids_NC[:, column] for column in range(len(self._setting.cardinalities))
        }
        columns |= {f"d{column}": rows.dense_NI[:, column] for column in range(self._setting.dense)}
        self._model.fit(columns, rows.labels_NK, batch_size=self._setting.batch, epochs=1, verbose=0)

    def scores(self, laid_out: Any) -> Floats:
        """Return probabilities."""
        self._model.eval()
        with torch.no_grad():
            result: Floats = self._model(laid_out[0]).numpy()
        return result


if __name__ == "__main__":
    main(DeepCtrTorch)
