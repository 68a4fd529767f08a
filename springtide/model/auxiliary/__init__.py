"""DeepMCP's nets beside the one that is served (Ouyang et al. 2019): they teach the embeddings, and stay in training.

    loss = L_prediction + alpha L_matching + beta L_correlation

A bundle holds none of them, so that serving is as fast as without. Shapes: B rows, T tasks, D embedding width.
"""

import torch
from torch import Tensor, nn

from springtide.contracts.tasks import TASKS
from springtide.model.auxiliary.correlation import CorrelationNet
from springtide.model.auxiliary.matching import MatchingNet
from springtide.model.config import ModelConfig
from springtide.model.sequence import Behaviours

_CLICK = TASKS.index("click")


class AuxiliaryNets(nn.Module):
    """Those nets whose weight is above 0."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.alpha, self.beta = config.matching_weight, config.correlation_weight
        self.matching = MatchingNet(config) if self.alpha > 0.0 else None
        self.correlation = CorrelationNet(config) if self.beta > 0.0 else None

    def forward(self, pooled_BD: Tensor, behaviours: Behaviours | None) -> None:
        """Read the batch whose labels `losses` will be told.

        Args:
            pooled_BD: the features' vectors side by side in order of FEATURES.
            behaviours: for the correlation net.
        """
        if self.matching is not None:
            self.matching(pooled_BD)
        if self.correlation is not None and behaviours is not None:
            self.correlation(behaviours)

    def losses(self, labels_BT: Tensor, weights_BT: Tensor) -> Tensor:
        """Return what the nets add to each task's loss, (T,): all to that of the clicks.

        Args:
            labels_BT: 0 or 1.
            weights_BT: 0 is masked: such a row teaches no net anything.
        """
        labels_B, weights_B = labels_BT[:, _CLICK], weights_BT[:, _CLICK]
        loss = weights_B.new_zeros(())
        if self.matching is not None:
            loss = loss + self.alpha * self.matching.loss(labels_B, weights_B)
        if self.correlation is not None:
            loss = loss + self.beta * self.correlation.loss(weights_B > 0.0)
        return torch.stack([loss if task == "click" else torch.zeros_like(loss) for task in TASKS])


def build_auxiliary(config: ModelConfig) -> AuxiliaryNets | None:
    """Return the nets that the configuration asks for; None without any."""
    return AuxiliaryNets(config) if config.matching_weight > 0.0 or config.correlation_weight > 0.0 else None
