"""The same composition over any table of features: categorical columns and dense ones to a logit per head.

For logs that are no shop's, such as a census: embeddings, backbone and towers are those of every preset, and the heads
are independent. Tables learn in the backward pass, row by row, by fused row-wise Adagrad: a step's cost does not
depend on their size. Everything else learns by Adam.
Shapes: B rows, N rows of a whole log, C categorical columns, I dense columns, K heads, D embedding width, H units.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchrec.modules.embedding_configs import EmbeddingBagConfig, PoolingType
from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection
from torchrec.optim import RowWiseAdagrad
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from springtide.contracts.errors import ShapeError
from springtide.model.backbones import build_backbone
from springtide.model.config import ModelConfig
from springtide.model.dense_network import HasExtraLoss
from springtide.model.initial import SCALE
from springtide.model.parallel_layers import EachLinear
from springtide.model.precision import multiplying_in


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """What the inputs are."""

    cardinalities: tuple[int, ...] = ()
    """Rows of each categorical column's table, C in all."""
    dense: int = 0
    """Dense columns, I."""

    @property
    def names(self) -> list[str]:
        """Name of each categorical column."""
        return [f"column_{number}" for number in range(len(self.cardinalities))]


class TabularNetwork(nn.Module):
    """Rows of a table to a logit per head; `config` gives backbone, sizes, rates and seed."""

    def __init__(self, config: ModelConfig, columns: Columns, heads: int) -> None:
        super().__init__()
        self.config, self.columns = config, columns
        self._keys = columns.names
        self._lengths: dict[int, Tensor] = {}
        inputs = len(columns.cardinalities) * config.embedding_dim + columns.dense
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.tables = _fused_tables(config, columns)
            self.backbone = build_backbone(config, inputs, heads)
            units = (config.expert_units[-1], *config.tower_units)
            self.towers = nn.ModuleList(
                EachLinear(heads, before, after) for before, after in zip(units, units[1:], strict=False)
            )
            self.out = EachLinear(heads, units[-1], 1)

    def embed(self, rows_CB: Tensor) -> Tensor:
        """Return the columns' vectors side by side, (B, C D), for a table row per column and row of the batch."""
        size = rows_CB.shape[1]
        if size not in self._lengths:
            self._lengths = {size: torch.ones(rows_CB.numel(), dtype=torch.int64)}
        sparse = KeyedJaggedTensor(keys=self._keys, values=rows_CB.reshape(-1), lengths=self._lengths[size])
        vectors_BD: Tensor = self.tables(sparse).values()
        return vectors_BD

    def forward(self, dense_BI: Tensor, rows_CB: Tensor) -> Tensor:
        """Return each head's logit, (B, K).

        Args:
            dense_BI: float32.
            rows_CB: int64, a row of its table per categorical column.

        Raises:
            ShapeError: the inputs have not the declared columns.
        """
        if (len(rows_CB), dense_BI.shape[1]) != (len(self._keys), self.columns.dense):
            raise ShapeError(
                f"TabularNetwork: expected {len(self._keys)} categorical and {self.columns.dense} dense columns, "
                f"got {len(rows_CB)} and {dense_BI.shape[1]}; lay them out as declared"
            )
        inputs_BI = torch.cat([self.embed(rows_CB), dense_BI], dim=1) if self._keys else dense_BI
        with multiplying_in(self.config.precision):
            hidden_BKH = self.backbone(inputs_BI)
            for layer in self.towers:
                hidden_BKH = functional.relu(layer(hidden_BKH))
        logits_BK: Tensor = self.out(hidden_BKH.float()).squeeze(2)
        return logits_BK

    def extra_loss(self) -> Tensor:
        """Return what the parts add to the loss of the batch just passed forward, a scalar."""
        parts = [part.extra_loss() for part in self.modules() if part is not self and isinstance(part, HasExtraLoss)]
        return sum(parts, self.out.bias_PH.new_zeros(()))


class TabularLearner:
    """A network and its optimizers; `loss` compares logits (B, K) with labels (B, K) and returns a scalar."""

    def __init__(self, network: TabularNetwork) -> None:
        self.network = network
        dense = [parameter for name, parameter in network.named_parameters() if not name.startswith("tables.")]
        self._adam = torch.optim.Adam(dense, lr=network.config.dense_learning_rate)

    def learn(self, dense_BI: Tensor, rows_CB: Tensor, labels_BK: Tensor, *, regression: bool = False) -> Tensor:
        """Take one step on the sum over heads of the mean log loss (or squared error); returns it, a scalar."""
        logits_BK = self.network(dense_BI, rows_CB)
        compare = functional.mse_loss if regression else functional.binary_cross_entropy_with_logits
        loss: Tensor = compare(logits_BK, labels_BK) * logits_BK.shape[1] + self.network.extra_loss()
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        return loss.detach()


def shuffled(rows: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the row numbers of an epoch's batches of `size`, int64; a remainder smaller than `size` is left out."""
    order_N = torch.randperm(rows, generator=generator)
    yield from torch.split(order_N[: rows - rows % size], size)


def _fused_tables(config: ModelConfig, columns: Columns) -> nn.Module:
    if not columns.cardinalities:
        return nn.Identity()
    tables: nn.Module = FusedEmbeddingBagCollection(
        tables=[
            EmbeddingBagConfig(
                name=name,
                embedding_dim=config.embedding_dim,
                num_embeddings=rows,
                feature_names=[name],
                pooling=PoolingType.SUM,
            )
            for name, rows in zip(columns.names, columns.cardinalities, strict=True)
        ],
        optimizer_type=RowWiseAdagrad,
        optimizer_kwargs={"lr": config.table_learning_rate, "eps": 1e-8},
        device=torch.device("cpu"),
    )
    with torch.no_grad():
        for table in tables.parameters():
            table.uniform_(-SCALE, SCALE)
    return tables
