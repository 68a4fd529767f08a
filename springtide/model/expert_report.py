"""How much each gate uses each expert: the gauge of expert collapse. Shapes: B rows, G gates, E experts.

Shares near 1 / E say that the experts are used alike; an expert with no share anywhere is dead weight, and gates that
all put their weight on one expert have made the mixture a shared bottom (seen in a fifth of runs, Zhao et al. 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from springtide.model.backbones.gates import Gate, NoisyTopKGate
from springtide.model.dense_network import DenseNetwork

IDLE = 0.01
"""Share of a gate's weight below which an expert counts as idle for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateUse:
    """One gate's mean weights over rows."""

    place: str
    """The gates' name in the network."""
    reader: str
    """Who reads what it mixes: a head, all heads, or what stands on it in a stack."""
    shares_E: tuple[float, ...]
    """Mean weight of each expert, adding up to 1."""

    @property
    def idle(self) -> tuple[int, ...]:
        """Experts that it hardly uses."""
        return tuple(expert for expert, share in enumerate(self.shares_E) if share < IDLE)

    @property
    def effective_experts(self) -> float:
        """1 / sum of squared shares: 1 if one expert gets all, E if all get the same."""
        return 1.0 / sum(share * share for share in self.shares_E)


def expert_use(network: DenseNetwork, dense_BF: Tensor, pooled_BD: Tensor) -> list[GateUse]:
    """Return the use of every gate of a network, as when serving; none for a backbone without gates."""
    seen: dict[str, Tensor] = {}
    gates = {place: part for place, part in network.named_modules() if isinstance(part, Gate | NoisyTopKGate)}
    hooks = [part.register_forward_hook(partial(_keep, seen, place)) for place, part in gates.items()]
    learning = network.training
    try:
        with torch.no_grad():
            network.eval().logits(dense_BF, pooled_BD)
    finally:
        network.train(learning)
        for hook in hooks:
            hook.remove()
    heads = {f"head {number}": name for number, name in enumerate(network.heads)}
    return [
        GateUse(place=place, reader=heads.get(reader, reader), shares_E=tuple(shares_E))
        for place, shares_GE in seen.items()
        for reader, shares_E in zip(gates[place].readers, shares_GE.tolist(), strict=True)
    ]


def _keep(seen: dict[str, Tensor], place: str, _part: nn.Module, _inputs: object, weights_BGE: Tensor) -> None:
    seen[place] = weights_BGE.mean(dim=0)


def report(uses: Sequence[GateUse]) -> str:
    """Return one line per gate: who reads it, each expert's share, and what to look at."""
    lines = []
    for use in uses:
        shares = "  ".join(f"{share:6.1%}" for share in use.shares_E)
        idle = f"  idle: {', '.join(map(str, use.idle))}" if use.idle else ""
        lines.append(f"{use.reader:<28} {shares}  effective {use.effective_experts:.1f}{idle}")
    return "\n".join(lines)
