"""Gates: weights that add up to 1 over experts, dense or of the noisy top k alone.

Dense (MMoE, Ma et al. 2018): softmax(W x). Gate dropout sets weights to 0 in training and rescales the rest, against
expert collapse (Zhao et al. 2019).

Noisy top k (Shazeer et al. 2017): softmax over the k largest of

    h(x)_i = (W x)_i + n_i softplus((V x)_i),  n_i ~ N(0, 1) in training, 0 when serving

with the load-balancing extra loss w [CV(importance)^2 + CV(load)^2], per gate, CV the standard deviation over the mean
across experts, importance_i = sum over x of gate weight i, and load_i = sum over x of the probability that expert i is
among the k if its own noise alone were drawn anew:

    P(x, i) = Phi(((W x)_i - threshold_i(x)) / softplus((V x)_i)),   threshold_i = k-th largest h(x)_j with j != i

W and V start at 0, as in the paper: all experts alike. Shapes: B rows, G gates, E experts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from springtide.model.config import ModelConfig

_LEAST_SD = 1e-2
"""Keeps the noise's standard deviation away from 0, by which the load divides."""


class Gate(nn.Linear):
    """G dense gates that read the same inputs."""

    def __init__(self, inputs: int, readers: Sequence[str], experts: int, config: ModelConfig) -> None:
        super().__init__(inputs, len(readers) * experts, bias=False)
        self.readers, self.experts, self.dropout = tuple(readers), experts, config.gate_dropout

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return the weights, (B, G, E)."""
        logits_BGE = super().forward(inputs_BI).view(len(inputs_BI), len(self.readers), self.experts)
        if self.training and self.dropout > 0.0:
            dropped = torch.rand_like(logits_BGE) < self.dropout
            dropped &= ~dropped.all(dim=2, keepdim=True)  # at least one expert stays
            logits_BGE = logits_BGE.masked_fill(dropped, -torch.inf)
        return logits_BGE.softmax(dim=2)


class NoisyTopKGate(nn.Module):
    """G gates that let `active_experts` through for each row."""

    def __init__(self, inputs: int, readers: Sequence[str], experts: int, config: ModelConfig) -> None:
        super().__init__()
        self.readers, self.experts, self.active = tuple(readers), experts, config.active_experts
        self.balance_weight = config.balance_weight
        self.clean = nn.Linear(inputs, len(readers) * experts, bias=False)
        self.noise = nn.Linear(inputs, len(readers) * experts, bias=False)
        nn.init.zeros_(self.clean.weight)
        nn.init.zeros_(self.noise.weight)
        self._imbalance: Tensor | None = None

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return the weights, (B, G, E); all but `active_experts` of each gate are 0."""
        shape = (len(inputs_BI), len(self.readers), self.experts)
        logits_BGE = clean_BGE = self.clean(inputs_BI).view(shape)
        sd_BGE = functional.softplus(self.noise(inputs_BI).view(shape)) + _LEAST_SD
        if self.training:
            logits_BGE = clean_BGE + torch.randn_like(clean_BGE) * sd_BGE
        kept_BGk = logits_BGE.topk(self.active, dim=2).indices
        masked_BGE = torch.full_like(logits_BGE, -torch.inf).scatter(2, kept_BGk, logits_BGE.gather(2, kept_BGk))
        weights_BGE = masked_BGE.softmax(dim=2)
        self._imbalance = None
        if self.training:
            importance_GE = weights_BGE.sum(dim=0)
            load_GE = load(clean_BGE, logits_BGE, sd_BGE, self.active).sum(dim=0)
            self._imbalance = (squared_variation(importance_GE) + squared_variation(load_GE)).sum()
        return weights_BGE

    def extra_loss(self) -> Tensor:
        """Return the load-balancing loss of the rows last learned from, a scalar; 0 after a pass in evaluation."""
        if self._imbalance is None:
            return self.clean.weight.new_zeros(())
        return self.balance_weight * self._imbalance


def load(clean_BGE: Tensor, noisy_BGE: Tensor, sd_BGE: Tensor, active: int) -> Tensor:
    """Return P(x, i), (B, G, E): each expert's chance to be among the `active` if its own noise were drawn anew."""
    experts = noisy_BGE.shape[2]
    if active >= experts:
        return torch.ones_like(clean_BGE)
    top_BGk = noisy_BGE.topk(active + 1, dim=2).values
    inside_BGE = noisy_BGE >= top_BGk[:, :, active - 1 : active]
    # without an expert that is in, the next one moves up to be the k-th
    threshold_BGE = torch.where(inside_BGE, top_BGk[:, :, active:], top_BGk[:, :, active - 1 : active])
    chance_BGE: Tensor = torch.special.ndtr((clean_BGE - threshold_BGE) / sd_BGE)
    return chance_BGE


def squared_variation(sums_GE: Tensor) -> Tensor:
    """Return the squared coefficient of variation of each gate over its experts, (G,); 0 for a single expert."""
    mean_G1 = sums_GE.mean(dim=1, keepdim=True)
    return ((sums_GE - mean_G1).square().mean(dim=1)) / (mean_G1.squeeze(1).square() + 1e-10)


def make_gate(inputs: int, readers: Sequence[str], experts: int, config: ModelConfig) -> Gate | NoisyTopKGate:
    """Return dense gates, or noisy top-k ones where `active_experts` asks for them.

    Args:
        inputs: I.
        readers: who reads what each gate mixes, G in all; `head 0` and so on for heads.
        experts: E.
        config: settings of the model.
    """
    kind = NoisyTopKGate if 0 < config.active_experts < experts else Gate
    return kind(inputs, readers, experts, config)


def reader_names(kind: str, count: int, *, one_gate: bool = False) -> list[str]:
    """Return the names of `count` readers, or of all together."""
    return [f"all {kind}s"] if one_gate else [f"{kind} {number}" for number in range(count)]
