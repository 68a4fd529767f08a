"""Soft sharing: a trunk per head, tied by the distance between their parameters (Duong et al. 2015).

    extra loss = w / (K (K - 1) / 2)  sum over pairs i < j of || theta_i - theta_j ||^2

with w `sharing_weight`. The sum over pairs is K sum_k || theta_k - mean theta ||^2, which is how it is computed: for
any numbers, sum_{i<j} (a_i - a_j)^2 = K sum_k a_k^2 - (sum_k a_k)^2. With w = 0 the trunks are separate; as w grows
they become one shared bottom. Shapes: B rows, K heads, H units.
"""

from torch import Tensor

from springtide.model.backbones.separate import Separate
from springtide.model.config import ModelConfig


class SoftSharing(Separate):
    """Separate trunks with an extra loss."""

    def __init__(self, inputs: int, heads: int, config: ModelConfig) -> None:
        super().__init__(inputs, heads, config)
        self.heads = heads
        self.weight = config.sharing_weight

    def extra_loss(self) -> Tensor:
        """Return the weighted mean squared distance between two trunks, a scalar; 0 for a single head."""
        distances = [2.0 / max(self.heads - 1, 1) * _spread(part) for part in self.bottoms.per_network()]
        return self.weight * sum(distances[1:], distances[0])


def _spread(part_KX: Tensor) -> Tensor:
    """Return sum_k || theta_k - mean ||^2."""
    return (part_KX - part_KX.mean(dim=0, keepdim=True)).square().sum()
