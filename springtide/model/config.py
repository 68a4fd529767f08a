"""What a model is: settings that build the same network anywhere; they travel in the bundle manifest."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from springtide.contracts.errors import ConfigError
from springtide.contracts.tasks import TASKS
from springtide.model.behaviour_graph import GRAPHS, BehaviourGraph

BACKBONES: Final = ("mmoe", "omoe", "ple", "cross-stitch", "soft-sharing", "shared-bottom", "separate", "own-vectors")
ENCODERS: Final = ("mean", "dupn")
WEIGHTINGS: Final = ("fixed", "uncertainty", "pe-ltr")
SLATE_LOSSES: Final = ("none", "bpr", "listwise")
LIST_LOSSES: Final = ("softmax", "list-mle")
PRECISIONS: Final = ("float32", "bfloat16")
"""What the layers' matrix products may use; see precision.py."""
TABLES: Final = ("user", "item", "category", "device", "country", "position")
"""Every embedding table."""
_LISTS: Final = ("heads", "supervised", "expert_units", "tower_units")
"""Tuples here, lists in JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Section `[model]`; complete, so that a bundle needs nothing else to rebuild its network."""

    backbone: str = "mmoe"
    """How heads share what is below them; one of BACKBONES."""
    encoder: str = "mean"
    """How the user's last behaviours are read: as the mean of their items alone, or also one by one; of ENCODERS."""
    graph: str = "esm2"
    """How heads compose into tasks; one of GRAPHS, unless `heads` are given."""
    heads: tuple[str, ...] = ()
    """A behaviour graph of its own: a line `behaviour | parent, no parent` per head; empty takes `graph`."""
    supervised: tuple[str, ...] = TASKS
    """Tasks whose probabilities have a loss; the others are products of heads that learn from these."""
    embedding_dim: int = 16
    """Width of every embedding, D."""
    experts: int = 4
    """Number of experts, E, of mmoe and omoe; of ple, those that all heads share."""
    own_experts: int = 1
    """Experts of each head alone; ple."""
    expert_layers: int = 1
    """Layers of experts, one on the other; mmoe, omoe and ple. Those above the first have one layer of units each."""
    active_experts: int = 0
    """Experts that a gate lets through per row (noisy top k); 0 lets all through."""
    balance_weight: float = 0.01
    """Weight of the load-balancing extra loss where `active_experts` is set."""
    sharing_weight: float = 0.001
    """Weight of the distance between the heads' trunks; soft-sharing."""
    expert_units: tuple[int, ...] = (64, 32)
    """Units per layer of an expert (or of a trunk)."""
    tower_units: tuple[int, ...] = (32,)
    """Hidden units per layer of a head's tower."""
    sequence_units: int = 32
    """Units of the vector that an encoder other than `mean` makes of a user's behaviours."""
    matching_weight: float = 0.0
    """Weight of the loss of DeepMCP's matching net, alpha; 0: without."""
    correlation_weight: float = 0.0
    """Weight of the loss of DeepMCP's correlation net, beta; 0: without."""
    precision: str = "float32"
    """What backbone and towers multiply in, one of PRECISIONS; `bfloat16` is fast where the processor has it."""
    gate_dropout: float = 0.0
    """Share of gate weights dropped in training against expert collapse, 0 to below 1."""
    position_tower: bool = True
    """Learn what the position adds to a first behaviour beside everything else, so that the rest need not."""
    position_by_device: bool = False
    """Let the position tower read position times device beside the position."""
    parent_hiddens: bool = False
    """Feed the hidden vectors of a head's parents to its tower (DBMTL)."""
    cascade: bool = False
    """Add the logit of the head before to each head's (NMTR); for heads without parents."""
    capacities: dict[str, int] = field(
        default_factory=lambda: {
            "user": 20_000,
            "item": 8_000,
            "category": 512,
            "device": 32,
            "country": 128,
            "position": 64,
        }
    )
    """Rows per table, the fallback row 0 among them."""
    admission_counts: dict[str, int] = field(
        default_factory=lambda: {"user": 2, "item": 3, "category": 1, "device": 1, "country": 1, "position": 1}
    )
    """Observations before an id gets a row of its own, per table."""
    expiries: dict[str, timedelta] = field(
        default_factory=lambda: {table: timedelta(days=14 if table in ("user", "item") else 90) for table in TABLES}
    )
    """Event time without an observation after which an id loses its row, per table."""
    table_learning_rate: float = 0.05
    """Of row-wise Adagrad, for the tables."""
    dense_learning_rate: float = 0.002
    """Of Adam, for everything else but the heads' biases."""
    bias_learning_rate: float = 0.02
    """Of Adam, for each head's bias: how fast the level of a probability follows a change of its base rate."""
    level_drift: dict[str, float] = field(default_factory=lambda: {"click": 0.0, "cart": 0.1, "purchase": 0.4})
    """Per task the standard deviation of a day's walk of its log-odds, which its level follows (level.py); 0: none."""
    task_weights: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TASKS, 1.0))
    """Weight of each task's loss; `fixed` weighting alone."""
    sample_weighting: bool = False
    """Learn one score whose odds are an impression's expected worth (sample_weights.py), in place of the log losses."""
    behaviour_weights: dict[str, float] = field(
        default_factory=lambda: {"click": 1.0, "cart": 3.0, "purchase": 10.0, "purchase_price": 0.0}
    )
    """Worth of each behaviour, and of each unit of currency paid, with `sample_weighting`."""
    slate_loss: str = "none"
    """Loss over the items of each slate, beside the log loss of each row; one of SLATE_LOSSES."""
    list_loss: str = "softmax"
    """Which one `listwise` is; one of LIST_LOSSES."""
    slate_share: float = 0.5
    """Share of the slate loss, above 0 to 1; the rest is log loss, which alone says how high a probability is."""
    weighting: str = "fixed"
    """How the tasks' losses become one; one of WEIGHTINGS."""
    weighting_learning_rate: float = 0.02
    """Of the log variances of `uncertainty` weighting, per step."""
    weight_floors: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TASKS, 0.1))
    """Least weight of each task in `pe-ltr` weighting, c_k; they add up to at most 1."""
    seed: int = 7
    """Of every initial value."""

    @property
    def behaviour_graph(self) -> BehaviourGraph:
        """The graph that `heads` or `graph` gives."""
        return BehaviourGraph(lines=self.heads or GRAPHS[self.graph].lines, supervised=self.supervised)

    @property
    def reads_steps(self) -> bool:
        """Whether the network reads the user's behaviours one by one while it learns."""
        return self.encoder != "mean" or self.correlation_weight > 0.0

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        yield from _choice("backbone", self.backbone, BACKBONES)
        yield from _choice("encoder", self.encoder, ENCODERS)
        yield from _choice("graph", self.graph, tuple(GRAPHS))
        yield from _choice("precision", self.precision, PRECISIONS)
        yield from self._graph_problems()
        for key, least in (
            ("embedding_dim", 1), ("experts", 1), ("own_experts", 1), ("expert_layers", 1), ("active_experts", 0),
            ("balance_weight", 0.0), ("sharing_weight", 0.0), ("sequence_units", 1), ("matching_weight", 0.0),
            ("correlation_weight", 0.0),
        ):  # fmt: skip
            if getattr(self, key) < least:
                yield f"model.{key}: expected at least {least}, got {getattr(self, key)}; raise it"
        if self.active_experts > self.experts:
            yield f"model.active_experts: expected at most {self.experts} experts, got {self.active_experts}; lower it"
        for key in ("expert_units", "tower_units"):
            units = getattr(self, key)
            if not units or min(units) < 1:
                yield f"model.{key}: expected one or more layers of at least 1 unit, got {units}; name them"
        if not 0.0 <= self.gate_dropout < 1.0:
            yield f"model.gate_dropout: expected 0 to below 1, got {self.gate_dropout}; lower it"
        for key in ("table_learning_rate", "dense_learning_rate", "bias_learning_rate"):
            if getattr(self, key) <= 0.0:
                yield f"model.{key}: expected more than 0, got {getattr(self, key)}; raise it"
        yield from self._table_problems()
        yield from self._task_problems()
        yield from self._loss_problems()

    def _graph_problems(self) -> Iterator[str]:
        if not self.heads and self.graph not in GRAPHS:
            return
        graph = self.behaviour_graph
        found = list(graph.problems("model.heads" if self.heads else f"model.graph {self.graph}"))
        if not found and self.cascade and graph.first_heads < len(graph.heads):
            found.append(f"model.cascade: expected heads without parents, got {'; '.join(graph.heads)}; unset it")
        if not found and self.backbone == "own-vectors" and self.embedding_dim < len(graph.heads):
            least = len(graph.heads)
            found.append(f"model.embedding_dim: expected at least {least} heads, got {self.embedding_dim}; raise it")
        yield from found

    def _task_problems(self) -> Iterator[str]:
        for key in ("level_drift", "task_weights"):
            numbers = getattr(self, key)
            if set(numbers) != set(TASKS) or min(numbers.values()) < 0.0:
                yield f"model.{key}: expected a number >= 0 for each of {TASKS}, got {numbers}; mend it"

    def _loss_problems(self) -> Iterator[str]:
        weights = self.behaviour_weights
        if set(weights) != {*TASKS, "purchase_price"} or min(weights.values()) < 0.0:
            keys = (*TASKS, "purchase_price")
            yield f"model.behaviour_weights: expected a number >= 0 for each of {keys}, got {weights}; mend it"
        if self.sample_weighting and (self.slate_loss != "none" or "click" not in self.supervised):
            yield "model.sample_weighting: expected `click` supervised and no slate_loss, got otherwise; mend one"
        if self.sample_weighting and self.matching_weight + self.correlation_weight > 0.0:
            yield "model.sample_weighting: expected matching_weight and correlation_weight 0, got more; mend one"
        yield from _choice("slate_loss", self.slate_loss, SLATE_LOSSES)
        yield from _choice("list_loss", self.list_loss, LIST_LOSSES)
        if not 0.0 < self.slate_share <= 1.0:
            yield f"model.slate_share: expected above 0 to 1, got {self.slate_share}; mend it"
        yield from _choice("weighting", self.weighting, WEIGHTINGS)
        if self.weighting_learning_rate <= 0.0:
            yield f"model.weighting_learning_rate: expected more than 0, got {self.weighting_learning_rate}; raise it"
        floors = self.weight_floors
        if set(floors) != set(TASKS) or min(floors.values()) < 0.0 or sum(floors.values()) > 1.0:
            yield f"model.weight_floors: expected >= 0 for each of {TASKS} and at most 1 in all, got {floors}; mend it"

    def _table_problems(self) -> Iterator[str]:
        for key in ("capacities", "admission_counts", "expiries"):
            if set(getattr(self, key)) != set(TABLES):
                yield f"model.{key}: expected the tables {TABLES}, got {sorted(getattr(self, key))}; name each once"
        for table, capacity in self.capacities.items():
            if capacity < 2:
                yield f"model.capacities.{table}: expected at least 2 rows, got {capacity}; raise it"
        for table, count in self.admission_counts.items():
            if count < 1:
                yield f"model.admission_counts.{table}: expected at least 1, got {count}; raise it"
        for table, expiry in self.expiries.items():
            if expiry <= timedelta(0):
                yield f"model.expiries.{table}: expected more than 0s, got {expiry}; raise it"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values; durations as seconds."""
        values: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        values |= {key: list(getattr(self, key)) for key in _LISTS}
        values["expiries"] = {table: expiry.total_seconds() for table, expiry in self.expiries.items()}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """Return what `to_dict` wrote.

        Raises:
            ConfigError: a key is unknown or a rule is broken.
        """
        unknown = set(values) - {entry.name for entry in dataclasses.fields(cls)}
        if unknown:
            raise ConfigError(
                [f"model.{key}: expected a known key, got this one; use a matching release" for key in unknown]
            )
        arguments = dict(values)
        for key in _LISTS:
            if key in arguments:
                arguments[key] = tuple(arguments[key])
        if "expiries" in arguments:
            arguments["expiries"] = {table: timedelta(seconds=age) for table, age in arguments["expiries"].items()}
        config = cls(**arguments)
        if found := list(config.problems()):
            raise ConfigError(found)
        return config


def _choice(key: str, value: str, allowed: tuple[str, ...]) -> Iterator[str]:
    if value not in allowed:
        yield f"model.{key}: expected one of {', '.join(allowed)}, got {value!r}; choose one"
