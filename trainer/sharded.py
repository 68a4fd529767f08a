"""TorchRec's DistributedModelParallel on CPU and gloo, and where its numbers are.

Tables are placed whole, one owner each (table-wise), with fused row-wise Adagrad; everything else is data parallel
with Adam. Row-wise sharding has no CPU path with gloo (no reduce-scatter), so it is not offered to the planner.
"""

import logging
import warnings
from typing import Any

import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import Tensor, nn
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DefaultDataParallelWrapper, DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.types import ParameterConstraints
from torchrec.distributed.types import ShardingEnv

from springtide.contracts.errors import StateError
from springtide.contracts.tasks import TASKS
from springtide.model.batch import Batch
from springtide.model.config import TABLES, ModelConfig
from springtide.model.dense_network import HEAD_BIASES, DenseNetwork
from springtide.model.embeddings import initial_table
from springtide.model.graph import LogProbabilities
from springtide.model.network import RankingNetwork, build_network

_WEIGHT = "tables.embedding_bags.{table}.weight"

ADAM_BETAS = (0.9, 0.98)
"""The second moment forgets within 50 steps: a simulated day is about as many, and the first ones are far larger."""

Tensors = dict[str, Tensor]


class ShardedNetwork:
    """One model over all ranks of a process group; every rank makes one with the same settings."""

    def __init__(self, config: ModelConfig, group: Any) -> None:
        self.config = config
        network = build_network(config, "meta")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network.dense = DenseNetwork(config)
        self._model = _shard(network, config, group)
        self._dense = dict(_dense_part(self._model).named_parameters())
        self._dense |= {f"{_AUXILIARY}{name}": parameter for name, parameter in self._auxiliary().items()}
        level = [parameter for name, parameter in self._dense.items() if name in HEAD_BIASES]
        rest = [parameter for name, parameter in self._dense.items() if name not in HEAD_BIASES]
        self._adam = torch.optim.Adam(
            [
                {"params": rest, "lr": config.dense_learning_rate},
                {"params": level, "lr": config.bias_learning_rate},
            ],
            betas=ADAM_BETAS,
        )
        self._level_drift_T = torch.tensor([config.level_drift[task] for task in TASKS])
        self._tables = _local_tables(self._model)
        self._momenta = _local_momenta(self._model, self._tables)
        for table, weight_RD in self._tables.items():
            weight_RD.copy_(initial_table(config, table))

    @property
    def owned(self) -> tuple[str, ...]:
        """Names of the tables that live on this rank."""
        return tuple(self._tables)

    def forward(self, batch: Batch, *, learning: bool) -> LogProbabilities:
        """Return log p and log(1 - p), (B, T) each; every rank calls it, with any number of rows.

        Args:
            batch: this rank's rows.
            learning: with what is noise on purpose, dropout and its like; `learn` follows.
        """
        if self._model.training is not learning:
            self._model.train(learning)
        output: LogProbabilities = self._model(batch.dense_BF, batch.sparse)
        return output

    def extra_loss(self) -> Tensor:
        """Return what the network's own parts add to the loss of the batch just passed forward, a scalar."""
        return _dense_part(self._model).extra_loss()

    def auxiliary_losses(self, labels_BT: Tensor, weights_BT: Tensor) -> Tensor:
        """Return what nets that are not served add to each task's loss for the batch just passed forward, (T,)."""
        return _network_part(self._model).auxiliary_losses(labels_BT, weights_BT)

    def learn(self, loss: Tensor) -> None:
        """Take one step on every rank: gradients are averaged over ranks, tables updated by their owners."""
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()

    def follow(self, evidence_2KT: Tensor, newest_ms: int, arrived_KT: Tensor) -> None:
        """Move the levels by what all ranks have seen; every rank calls it with the same numbers."""
        _dense_part(self._model).level.follow(evidence_2KT, newest_ms, arrived_KT, self._level_drift_T)

    def shared_gradients(self, losses_T: Tensor) -> Tensor:
        """Return each loss's gradient by the backbone's parameters on this rank, (T, P); `learn` may follow."""
        shared = [parameter for name, parameter in self._dense.items() if name.startswith("backbone.")]
        rows = []
        for loss in losses_T:
            parts = torch.autograd.grad(loss, shared, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([part.flatten() for part in parts]))
        return torch.stack(rows)

    def reset_rows(self, table: str, rows: Any, vectors_RD: Any) -> None:
        """Give re-used rows a clean vector and a clean optimizer state; only the owner does anything."""
        if table in self._tables and len(rows):
            index = torch.as_tensor(rows)
            self._tables[table][index] = torch.as_tensor(vectors_RD)
            self._momenta[table][index] = 0.0

    def rows(self, table: str, index: Tensor | None = None) -> Tensor:
        """Return a copy of an owned table's vectors, all of them or those at `index`; (R, D)."""
        weight_RD = self._tables[table]
        return weight_RD.clone() if index is None else weight_RD[index]

    def dense(self) -> Tensors:
        """Return a copy of the dense part by DenseNetwork's names; equal on every rank."""
        return {name: tensor.detach().clone() for name, tensor in _dense_part(self._model).state_dict().items()}

    def local_state(self) -> Tensors:
        """Return copies of what this rank owns: `table.NAME`, `momentum.NAME`, and all else with Adam's state."""
        state = {f"table.{name}": weight.clone() for name, weight in self._tables.items()}
        state |= {f"momentum.{name}": momentum.clone() for name, momentum in self._momenta.items()}
        state |= {f"dense.{name}": tensor for name, tensor in self.dense().items()}
        state |= {f"{_AUXILIARY}{name}": tensor.detach().clone() for name, tensor in self._auxiliary().items()}
        for name, parameter in self._dense.items():
            for part, value in self._adam.state.get(parameter, {}).items():
                state[f"adam.{part}.{name}"] = value.clone()
        return state

    def load_local_state(self, state: Tensors) -> None:
        """Become what `local_state` returned; entries of tables owned elsewhere are left alone.

        Raises:
            StateError: something that this rank needs is missing, or has another shape.
        """
        for name in self._tables:
            _copy(self._tables[name], state, f"table.{name}")
            _copy(self._momenta[name], state, f"momentum.{name}")
        for name, tensor in _dense_part(self._model).state_dict().items():
            _copy(tensor, state, f"dense.{name}")
        for name, tensor in self._auxiliary().items():
            _copy(tensor, state, f"{_AUXILIARY}{name}")
        self._adam.state.clear()
        for name, parameter in self._dense.items():
            parts = {key: state[f"adam.{key}.{name}"].clone() for key in _ADAM if f"adam.{key}.{name}" in state}
            if parts:
                self._adam.state[parameter] = parts

    def _auxiliary(self) -> dict[str, nn.Parameter]:
        """Return the parameters of the nets that only teach, by name."""
        nets = _network_part(self._model).auxiliary
        return {} if nets is None else dict(nets.named_parameters())


_AUXILIARY = "auxiliary."
_ADAM = ("step", "exp_avg", "exp_avg_sq")


def _copy(target: Tensor, state: Tensors, name: str) -> None:
    if name not in state or state[name].shape != target.shape:
        found = tuple(state[name].shape) if name in state else "nothing"
        raise StateError(f"checkpoint: expected {name} {tuple(target.shape)}, got {found}; keep [model] as it was")
    with torch.no_grad():
        target.copy_(state[name])


def _shard(network: nn.Module, config: ModelConfig, group: Any) -> Any:
    world_size = group.size()
    sharder = EmbeddingBagCollectionSharder(
        fused_params={
            "optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
            "learning_rate": config.table_learning_rate,
            "eps": 1e-8,
        }
    )
    constraint = ParameterConstraints(sharding_types=["table_wise"], compute_kernels=["fused"])
    logging.getLogger("torchrec").setLevel(logging.ERROR)  # advice for clusters of GPUs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        planner = EmbeddingShardingPlanner(
            topology=Topology(world_size=world_size, local_world_size=world_size, compute_device="cpu"),
            constraints=dict.fromkeys(TABLES, constraint),
        )
        return DistributedModelParallel(
            network,
            env=ShardingEnv.from_process_group(group),
            device=torch.device("cpu"),
            plan=planner.collective_plan(network, [sharder], group),
            sharders=[sharder],
            # DDP's static graph takes the first backward pass for the one that learns; pe-ltr runs others before it
            data_parallel_wrapper=DefaultDataParallelWrapper(static_graph=config.weighting != "pe-ltr"),
        )


def _network_part(model: Any) -> RankingNetwork:
    """Return the RankingNetwork inside DMP and DDP."""
    found = [module for module in model.modules() if isinstance(module, RankingNetwork)]
    return found[0]


def _dense_part(model: Any) -> DenseNetwork:
    return _network_part(model).dense


def _local_tables(model: Any) -> Tensors:
    """Return the tables that live here, as views: writing to them writes to the model."""
    state = model.state_dict()
    tables = {}
    for table in TABLES:
        shards = state[_WEIGHT.format(table=table)].local_shards()
        if shards:
            tables[table] = shards[0].tensor
    return tables


def _local_momenta(model: Any, tables: Tensors) -> Tensors:
    """Return row-wise Adagrad's sums of squares, (R,) per table that lives here, as views."""
    state = model.fused_optimizer.state_dict()["state"]
    momenta = {}
    for table in tables:
        (value,) = (entry for name, entry in state[_WEIGHT.format(table=table)].items() if "momentum" in name)
        momenta[table] = value.local_shards()[0].tensor.view(-1)
    return momenta
