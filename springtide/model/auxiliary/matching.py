"""DeepMCP's matching net: a user's and an item's vector whose product says whether they fit (Ouyang et al. 2019).

    s = sigmoid(v_u . v_a),   v_u = tanh layers of the user's vectors, v_a = tanh layers of the item's
    L = - mean over rows of  y log s + (1 - y) log(1 - s)

with y the click. Masked and weighted like the clicks of the net that is served. Shapes: B rows, D embedding width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from springtide.model.auxiliary.layers import tanh_layers
from springtide.model.config import ModelConfig
from springtide.model.inputs import FEATURES

_USER = [place for place, feature in enumerate(FEATURES) if feature.per_slate]
_ITEM = [place for place, feature in enumerate(FEATURES) if not feature.per_slate and feature.name != "position"]


class MatchingNet(nn.Module):
    """Two towers on the shared embeddings."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dim = config.embedding_dim
        self.user = tanh_layers(len(_USER) * self.dim, config.expert_units)
        self.item = tanh_layers(len(_ITEM) * self.dim, config.expert_units)
        self._logits_B: Tensor | None = None

    def forward(self, pooled_BD: Tensor) -> Tensor:
        """Return v_u . v_a, (B,), and keep it for `loss`."""
        vectors = torch.split(pooled_BD, self.dim, dim=1)
        users_BH = self.user(torch.cat([vectors[place] for place in _USER], dim=1))
        items_BH = self.item(torch.cat([vectors[place] for place in _ITEM], dim=1))
        logits_B: Tensor = (users_BH * items_BH).sum(dim=1)
        self._logits_B = logits_B
        return logits_B

    def loss(self, labels_B: Tensor, weights_B: Tensor) -> Tensor:
        """Return L over the unmasked of the rows just passed forward, a scalar; 0 before any pass."""
        logits_B, self._logits_B = self._logits_B, None
        if logits_B is None:
            return weights_B.new_zeros(())
        losses_B = functional.binary_cross_entropy_with_logits(logits_B, labels_B, reduction="none")
        return (losses_B * weights_B).sum() / (weights_B > 0.0).sum().clamp(min=1)
