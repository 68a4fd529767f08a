"""Backbones: what the heads share between the inputs and their towers. One file per idea, one function that builds all.

Each maps inputs (B, I) to (B, K, H), a vector per head. Shapes: B rows, I inputs, K heads, E experts, H units.
"""

from torch import nn

from springtide.model.backbones.cross_stitch import CrossStitch
from springtide.model.backbones.experts import MixtureOfExperts, StackedExperts
from springtide.model.backbones.own_vectors import OwnVectors
from springtide.model.backbones.progressive import ProgressiveLayers
from springtide.model.backbones.separate import Separate
from springtide.model.backbones.shared_bottom import SharedBottom
from springtide.model.backbones.soft_sharing import SoftSharing
from springtide.model.config import ModelConfig

__all__ = ["MixtureOfExperts", "build_backbone"]


def build_backbone(config: ModelConfig, inputs: int, heads: int) -> nn.Module:
    """Return the backbone that the configuration names."""
    if config.backbone in ("mmoe", "omoe"):
        one_gate = config.backbone == "omoe"
        if config.expert_layers > 1:
            return StackedExperts(inputs, heads, config, one_gate=one_gate)
        return MixtureOfExperts(inputs, heads, config, one_gate=one_gate)
    kinds: dict[str, type[SharedBottom | Separate | OwnVectors | SoftSharing | CrossStitch | ProgressiveLayers]] = {
        "shared-bottom": SharedBottom,
        "separate": Separate,
        "own-vectors": OwnVectors,
        "soft-sharing": SoftSharing,
        "cross-stitch": CrossStitch,
        "ple": ProgressiveLayers,
    }
    return kinds[config.backbone](inputs, heads, config)
