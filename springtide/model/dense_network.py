"""Everything above the embeddings: pooled vectors and dense features to log probabilities. Plain torch, no TorchRec.

Shapes: B rows, F dense features, D embedding width, K heads, T tasks, U units of a user's vector.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from springtide.model.backbones import build_backbone
from springtide.model.backbones.own_vectors import own_shares
from springtide.model.config import ModelConfig
from springtide.model.dense_features import DENSE_FEATURES
from springtide.model.dupn import ASKING, UserEncoder
from springtide.model.graph import Composition, LogProbabilities
from springtide.model.inputs import FEATURES
from springtide.model.level import Level
from springtide.model.parallel_layers import EachLinear
from springtide.model.parent_hiddens import ParentHiddens
from springtide.model.precision import multiplying_in
from springtide.model.sequence import Behaviours

_NAMES = [feature.name for feature in FEATURES]
_PRODUCTS = [
    (_NAMES.index(left), _NAMES.index(right))
    for left, right in (
        ("user_id", "item_id"), ("history", "item_id"), ("user_id", "category"), ("country", "category"),
    )
]  # fmt: skip
"""Pairs of features whose vectors are also multiplied, element by element: who likes what."""

_WIDE = [_NAMES.index("user_id"), _NAMES.index("item_id")]
"""Features whose vectors also reach every head straight: who acts often, what is often acted on."""

_ASKING = [_NAMES.index(name) for name in ASKING]

_POSITION, _DEVICE = _NAMES.index("position"), _NAMES.index("device")

_WIDE_SCALE = 0.3
"""Standard deviation of the wide part's first weights."""

FIRST_LOGIT = -2.0
"""Where every head's bias starts: behaviours are rare."""

HEAD_BIASES = ("out.bias_PH",)
"""Parameters that set each head's level; they may learn faster than the rest."""


@runtime_checkable
class HasExtraLoss(Protocol):
    """A part of a network with a loss beside the tasks'."""

    def extra_loss(self) -> Tensor:
        """Return a scalar to add to the tasks' losses."""
        ...


class DenseNetwork(nn.Module):
    """Encoder, backbone, towers, position tower and behaviour graph."""

    shares_KD: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        graph = config.behaviour_graph
        heads, self.heads = len(graph.heads), graph.heads
        self.precision = config.precision
        self.dim = config.embedding_dim
        inputs = (len(FEATURES) - 1 + len(_PRODUCTS)) * config.embedding_dim + len(DENSE_FEATURES)  # position apart
        self.user_encoder = UserEncoder(config) if config.encoder == "dupn" else None
        inputs += config.sequence_units if self.user_encoder is not None else 0
        self.backbone = build_backbone(config, inputs, heads)
        units = (config.expert_units[-1], *config.tower_units)
        self.towers = nn.ModuleList(
            EachLinear(heads, before, after) for before, after in zip(units, units[1:], strict=False)
        )
        self.parent_hiddens = ParentHiddens(graph, units[-1]) if config.parent_hiddens else None
        self.out = EachLinear(heads, units[-1], 1)
        # wide beside deep (Cheng et al. 2016): an id with few rows moves its own level before the layers know it
        self.wide = nn.Linear(len(_WIDE) * self.dim, heads, bias=False)
        nn.init.normal_(self.wide.weight, std=_WIDE_SCALE)
        # shallow tower beside the rest (Zhao et al. 2019); position is unknown when serving: the fallback row's vector
        first, seen = graph.first_heads, self.dim * (2 if config.position_by_device else 1)
        self.position_tower = nn.Linear(seen, first, bias=False) if config.position_tower else None
        # with a model per head, none reads another's numbers past the backbone either
        self.own_vectors = config.backbone == "own-vectors"
        self.register_buffer("shares_KD", own_shares(heads, self.dim), persistent=False)
        self.position_by_device, self.cascade = config.position_by_device, config.cascade
        self.composition: Composition = Composition(graph)
        self.level: Level = Level()

    def user_vectors(self, pooled_BD: Tensor, behaviours: Behaviours | None) -> Tensor | None:
        """Return what the encoder makes of each row's user, (B, U), for the methods below; None without an encoder.

        It reads nothing of the items, so that one row per request will do, repeated for the request's items.
        """
        if self.user_encoder is None or behaviours is None:
            return None
        vectors = torch.split(pooled_BD, self.dim, dim=1)
        user_BU: Tensor = self.user_encoder(torch.cat([vectors[index] for index in _ASKING], dim=1), behaviours)
        return user_BU

    def encode(self, dense_BF: Tensor, pooled_BD: Tensor, user_BU: Tensor | None = None) -> Tensor:
        """Return the backbone's inputs: pooled_BD holds the features' vectors side by side in order of FEATURES."""
        vectors = torch.split(pooled_BD, self.dim, dim=1)
        products = [vectors[left] * vectors[right] for left, right in _PRODUCTS]
        users = [] if user_BU is None else [user_BU]
        return torch.cat([pooled_BD[:, : -self.dim], *products, dense_BF, *users], dim=1)

    def logits(self, dense_BF: Tensor, pooled_BD: Tensor, user_BU: Tensor | None = None) -> Tensor:
        """Return each head's logit, (B, K)."""
        with multiplying_in(self.precision):
            hidden_BKH = self.backbone(self.encode(dense_BF, pooled_BD, user_BU))
            for layer in self.towers:
                hidden_BKH = functional.relu(layer(hidden_BKH))
        hidden_BKH = hidden_BKH.float()
        if self.parent_hiddens is not None:
            hidden_BKH = self.parent_hiddens(hidden_BKH)
        vectors = torch.split(pooled_BD, self.dim, dim=1)
        wide_BD = torch.cat([vectors[i] for i in _WIDE], dim=1)
        logits_BK: Tensor = self.out(hidden_BKH).squeeze(2) + self._straight(self.wide, wide_BD)
        if self.cascade:  # NMTR (Gao et al. 2019): each behaviour's logit adds to that of the behaviour before it
            logits_BK = logits_BK.cumsum(dim=1)
        if self.position_tower is None:
            return logits_BK + FIRST_LOGIT
        seen_BD = vectors[_POSITION]
        if self.position_by_device:  # a tenth position on a phone is seen less than on a desktop
            seen_BD = torch.cat([seen_BD, seen_BD * vectors[_DEVICE]], dim=1)
        seen_BR = self._straight(self.position_tower, seen_BD)
        return logits_BK + functional.pad(seen_BR, (0, logits_BK.shape[1] - seen_BR.shape[1])) + FIRST_LOGIT

    def _straight(self, layer: nn.Linear, vectors_BD: Tensor) -> Tensor:
        """Return what a layer on vectors adds to the first heads, (B, R)."""
        if not self.own_vectors:
            added_BR: Tensor = layer(vectors_BD)
            return added_BR
        shares_RD = self.shares_KD[: layer.out_features].repeat(1, layer.in_features // self.dim)
        return functional.linear(vectors_BD, layer.weight * shares_RD)

    def forward(self, dense_BF: Tensor, pooled_BD: Tensor, user_BU: Tensor | None = None) -> LogProbabilities:
        """Return log probabilities per row and task."""
        result: LogProbabilities = self.level(self.composition(self.logits(dense_BF, pooled_BD, user_BU)))
        return result

    def probabilities(self, dense_BF: Tensor, pooled_BD: Tensor, user_BU: Tensor | None = None) -> Tensor:
        """Return probabilities per row and task, (B, T), for serving."""
        return self.level.probabilities(self.composition.probabilities(self.logits(dense_BF, pooled_BD, user_BU)))

    def extra_loss(self) -> Tensor:
        """Return what the loss must add for the batch just passed forward, a scalar: 0 unless a part asks for more."""
        parts = [part.extra_loss() for part in self.modules() if part is not self and isinstance(part, HasExtraLoss)]
        return sum(parts, self.out.bias_PH.new_zeros(()))
