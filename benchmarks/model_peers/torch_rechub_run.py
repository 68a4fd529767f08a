# mypy: disable-error-code="import-not-found"
"""torch-rechub, with its own trainer: Adam over everything, tables too."""

from typing import Any

import numpy as np
import torch
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import MMOE, PLE, SharedBottom
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator

from benchmarks.model_peers.contest import Floats, Rows, Setting, main


class TorchRechub:
    """A `System`."""

    def __init__(self, setting: Setting, seed: int) -> None:
        torch.manual_seed(seed)
        self._setting = setting
        features = [DenseFeature(f"d{column}") for column in range(setting.dense)]
        features += [
            SparseFeature(f"c{column}", vocab_size=ids, embed_dim=setting.dim)
            for column, ids in enumerate(setting.cardinalities)
        ]
        types = ["classification"] * setting.tasks
        towers = [{"dims": list(setting.tower_units)}] * setting.tasks
        experts = {"dims": list(setting.expert_units)}
        kinds: dict[str, Any] = {
            "shared-bottom": lambda: SharedBottom(features, types, {"dims": list(setting.trunk_units)}, towers),
            "mmoe": lambda: MMOE(features, types, setting.experts, experts, towers),
            "ple": lambda: PLE(features, types, 2, 1, setting.experts, experts, towers),
        }
        self._model = kinds[setting.model]()
        rates = {"lr": setting.learning_rate, "weight_decay": 1e-5}  # its own default
        self._trainer = MTLTrainer(self._model, types, optimizer_params=rates)

    def lay_out(self, rows: Rows) -> Any:
        """Return a dictionary of columns, and labels."""
        columns: dict[str, Any] = {f"d{column}": rows.dense_NI[:, column] for column in range(self._setting.dense)}
        columns |= {f"c{column}": rows.ids_NC[:, column] for column in range(len(self._setting.cardinalities))}
        return (
            {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in columns.items()},
            torch.from_numpy(rows.labels_NK),
        )

    def step(self, laid_out: Any) -> None:
        """Learn one batch as the trainer does."""
        self._trainer.train_one_epoch([laid_out])

    def epoch(self, rows: Rows) -> None:
        """Learn all rows by its loader and trainer."""
        columns, labels = self.lay_out(rows)
        data = DataGenerator({name: column.numpy() for name, column in columns.items()}, labels.numpy())
        one = ({name: column[:1].numpy() for name, column in columns.items()}, labels[:1].numpy())
        loader, _, _ = data.generate_dataloader(
            x_val=one[0], y_val=one[1], x_test=one[0], y_test=one[1], batch_size=self._setting.batch
        )
        self._trainer.train_one_epoch(loader)

    def scores(self, laid_out: Any) -> Floats:
        """Return probabilities."""
        self._model.eval()
        with torch.no_grad():
            result: Floats = self._model(laid_out[0]).numpy()
        return result


if __name__ == "__main__":
    main(TorchRechub)
