"""Sample weighting: one score for all objectives, learned by a loss whose weights come from behaviour. Shapes: B rows.

An impression's worth is a sum over what the user did with it, w >= 0. Every impression counts once as a negative, and
again as a positive of weight w:

    loss = w softplus(-f) + softplus(f)        slope in f    sigmoid(f) (1 + w) - w

so the expected slope is 0 where sigmoid(f) = E[w | x] / (1 + E[w | x]): the odds exp(f) are the expected worth. It is
the weighted logistic regression of watch time (Covington et al. 2016), where positives are not negatives too and the
odds are E[w] / (1 - p), close to it for rare clicks only; here it is exact.

The loss is linear in w, so a stream may tell it in parts: an observed row brings the negative and what was earned so
far, and each late label brings its own weight as it comes. Nothing then needs to be corrected by importance weights.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from springtide.contracts.tasks import TASKS

PRICE: Final = "purchase_price"
"""Key of the weight of each unit of currency that was paid."""
KEYS: Final = (*TASKS, PRICE)
"""What earns a weight."""


def worth(labels_BT: Tensor, told_BT: Tensor, price_B: Tensor, weights: Mapping[str, float]) -> Tensor:
    """Return each row's worth, float32 (B,).

    Args:
        labels_BT: 0 or 1.
        told_BT: bool, labels that count.
        price_B: the item's price in the shop's currency, 0 where it is not known.
        weights: by KEYS, at least 0.
    """
    earned_BT = labels_BT * told_BT
    weights_T = torch.tensor([weights[task] for task in TASKS])
    result: Tensor = earned_BT @ weights_T + weights[PRICE] * price_B * earned_BT[:, TASKS.index("purchase")]
    return result


def weighted_logistic(logp_B: Tensor, log1mp_B: Tensor, worth_B: Tensor, negative_B: Tensor) -> Tensor:
    """Return each row's loss, (B,).

    Args:
        logp_B: log sigmoid(f).
        log1mp_B: log sigmoid(-f).
        worth_B: weight as a positive.
        negative_B: 1 where the row brings its impression's negative, 0 for a label that comes later.
    """
    return -(worth_B * logp_B + negative_B * log1mp_B)
