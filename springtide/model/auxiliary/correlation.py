"""DeepMCP's correlation net: items that one user acts on one after another are alike (Ouyang et al. 2019).

Skip-gram with negative sampling over each row's last behaviours a_1 .. a_M, with h = tanh layers of an item's vector:

    L = mean over pairs (i, j), 0 < |i - j| <= C, of  - log sigmoid(h_i . h_j) - sum_q log sigmoid(-h_i . h_q)

A row's loss is the mean over its pairs, and L the mean over rows. The Q negatives of i are drawn once, for all its j,
from the behaviours of all rows of the batch, so as often as they occur there; one that the row itself holds is left
out. So are pairs of an item with itself (a click, then a cart) and items without a row of their own, which all have
the same vector. Draws depend on `seed` and the number of behaviours alone: a restart repeats them.
Shapes: B rows, L steps, D embedding width, H units, Q negatives, M behaviours of the batch.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from springtide.model.auxiliary.layers import tanh_layers
from springtide.model.config import ModelConfig
from springtide.model.id_map import FALLBACK_ROW
from springtide.model.sequence import Behaviours

WINDOW: Final = 2
"""C, steps between two behaviours that count as near."""
NEGATIVES: Final = 4
"""Q, as in the authors' code."""


class _Seen(NamedTuple):
    hidden_BLH: Tensor
    rows_BL: Tensor


class CorrelationNet(nn.Module):
    """One tower on the item table."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = tanh_layers(config.embedding_dim, config.expert_units)
        self.seed = config.seed
        self._seen: _Seen | None = None

    def forward(self, behaviours: Behaviours) -> Tensor:
        """Return h of every step, (B, L, H), and keep it for `loss`."""
        hidden_BLH: Tensor = self.layers(behaviours.vectors_BLD)
        self._seen = _Seen(hidden_BLH, behaviours.rows_BL)
        return hidden_BLH

    def loss(self, learned_B: Tensor) -> Tensor:
        """Return L over the rows just passed forward, a scalar; 0 before any pass.

        Args:
            learned_B: bool; other rows give neither pairs nor negatives.
        """
        seen, self._seen = self._seen, None
        if seen is None:
            return torch.zeros(())
        hidden_BLH, rows_BL = seen
        rows_BL = torch.where(learned_B.unsqueeze(1), rows_BL, FALLBACK_ROW)
        negatives_BL = self._negative_losses(hidden_BLH, rows_BL)
        losses_B, pairs_B = hidden_BLH.sum(dim=(1, 2)) * 0.0, rows_BL.new_zeros(len(rows_BL))
        for apart in range(1, WINDOW + 1):
            near_BL = rows_BL[:, :-apart], rows_BL[:, apart:]
            pair_BL = (near_BL[0] != FALLBACK_ROW) & (near_BL[1] != FALLBACK_ROW) & (near_BL[0] != near_BL[1])
            alike_BL = -functional.logsigmoid((hidden_BLH[:, :-apart] * hidden_BLH[:, apart:]).sum(dim=2))
            both_BL = 2.0 * alike_BL + negatives_BL[:, :-apart] + negatives_BL[:, apart:]  # (i, j) and (j, i)
            losses_B = losses_B + (both_BL * pair_BL).sum(dim=1)
            pairs_B = pairs_B + 2 * pair_BL.sum(dim=1)
        return (losses_B / pairs_B.clamp(min=1)).sum() / learned_B.sum().clamp(min=1)

    def _negative_losses(self, hidden_BLH: Tensor, rows_BL: Tensor) -> Tensor:
        """Return - sum_q log sigmoid(-h_i . h_q) for every step i, (B, L)."""
        told_M = (rows_BL != FALLBACK_ROW).flatten().nonzero().squeeze(1)
        losses_BL = torch.zeros_like(hidden_BLH[:, :, 0])
        if not len(told_M):
            return losses_BL
        draws = torch.Generator().manual_seed(self.seed + len(told_M))
        picked_QBL = told_M[torch.randint(len(told_M), (NEGATIVES, *rows_BL.shape), generator=draws)]
        for picked_BL in picked_QBL:
            other_BL = ~(rows_BL.flatten()[picked_BL].unsqueeze(2) == rows_BL.unsqueeze(1)).any(dim=2)
            products_BL = (hidden_BLH * hidden_BLH.flatten(0, 1)[picked_BL]).sum(dim=2)
            losses_BL = losses_BL - functional.logsigmoid(-products_BL) * other_BL
        return losses_BL
