"""Each backbone is its paper's equation, and the special cases that it contains."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from springtide.contracts.errors import ConfigError
from springtide.model.backbones import build_backbone
from springtide.model.backbones.cross_stitch import OWN
from springtide.model.backbones.gates import Gate, NoisyTopKGate, load, squared_variation
from springtide.model.config import ModelConfig
from springtide.model.dense_features import DENSE_FEATURES
from springtide.model.dense_network import DenseNetwork
from springtide.model.expert_report import expert_use, report
from springtide.model.inputs import FEATURES
from springtide.model.presets import preset

Module = Any
"""A torch module, of which attributes by name are asked."""


def backbone(sizes: ModelConfig, kind: str, **changes: Any) -> Module:
    torch.manual_seed(1)
    return build_backbone(replace(sizes, backbone=kind, **changes), 10, 3)


def rows(count: int = 7, width: int = 10) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(5))


def test_mmoe_with_one_expert_is_the_shared_bottom(sizes: ModelConfig) -> None:
    mmoe, bottom = backbone(sizes, "mmoe", experts=1), backbone(sizes, "shared-bottom")
    weights = mmoe.state_dict()
    bottom.load_state_dict({name.replace("experts", "bottom"): w for name, w in weights.items() if "gate" not in name})
    assert torch.allclose(mmoe(rows()), bottom(rows()), atol=1e-6)


def test_mmoe_with_tied_gates_is_omoe(sizes: ModelConfig) -> None:
    omoe, mmoe = backbone(sizes, "omoe"), backbone(sizes, "mmoe")
    weights = omoe.state_dict()
    mmoe.load_state_dict({**weights, "gate.weight": weights["gate.weight"].repeat(3, 1)})
    assert torch.allclose(mmoe(rows()), omoe(rows()), atol=1e-6)


@pytest.mark.parametrize("kind", ["mmoe", "omoe"])
def test_a_second_layer_mixes_experts_that_read_the_firsts_mixtures(sizes: ModelConfig, kind: str) -> None:
    stack, inputs = backbone(sizes, kind, expert_layers=3), rows()
    first, (second, third), gates = stack.first, stack.layers, stack.gates
    middle = torch.bmm(gates[0](inputs), second(first(inputs))).expand(-1, 3, -1)
    expected = torch.bmm(gates[1](inputs), third(middle)).expand(-1, 3, -1)
    assert torch.allclose(stack(inputs), expected, atol=1e-6)
    assert stack(inputs).shape == (7, 3, 6)


def test_gates_are_weights_that_add_up_to_one_even_under_dropout(sizes: ModelConfig) -> None:
    torch.manual_seed(0)
    gate = Gate(10, ["a", "b", "c"], 3, replace(sizes, gate_dropout=0.5)).train()
    weights = gate(rows(200))
    assert torch.allclose(weights.sum(dim=2), torch.ones(1))
    assert (weights == 0).float().mean() > 0.3
    assert (gate.eval()(rows(200)) > 0).all()


def trained_gate(sizes: ModelConfig, active: int = 2) -> NoisyTopKGate:
    torch.manual_seed(0)
    gate = NoisyTopKGate(10, ["a", "b"], 5, replace(sizes, active_experts=active))
    for part in gate.parameters():
        torch.nn.init.normal_(part, std=0.3)
    return gate


def test_a_noisy_gate_lets_k_experts_through_and_serves_without_noise(sizes: ModelConfig) -> None:
    gate = trained_gate(sizes).train()
    weights = gate(rows(300))
    assert ((weights > 0).sum(dim=2) == 2).all()
    assert torch.allclose(weights.sum(dim=2), torch.ones(1))
    assert gate.extra_loss() > 0
    served = gate.eval()(rows(300))
    assert torch.equal(served, gate(rows(300)))
    assert not torch.equal(served > 0, weights > 0)
    assert gate.extra_loss() == 0


def test_load_is_the_chance_to_be_among_the_k_with_noise_drawn_anew() -> None:
    torch.manual_seed(4)
    clean, sd = torch.randn(3, 1, 5), torch.rand(3, 1, 5) + 0.3
    noisy = clean + torch.randn_like(clean) * sd
    draws = 20_000
    expected = torch.empty(3, 1, 5)
    for expert in range(5):
        again = noisy.repeat(draws, 1, 1, 1)
        again[..., expert] = (clean + torch.randn(draws, 3, 1, 5) * sd)[..., expert]
        expected[..., expert] = (again.topk(2, dim=3).indices == expert).any(dim=3).float().mean(dim=0)
    assert torch.allclose(load(clean, noisy, sd, 2), expected, atol=0.015)


def test_balance_is_zero_for_equal_use_and_its_gradient_takes_from_the_busy(sizes: ModelConfig) -> None:
    assert squared_variation(torch.ones(2, 4)).tolist() == [0.0, 0.0]
    assert torch.allclose(squared_variation(torch.tensor([[4.0, 0.0, 0.0, 0.0]])), torch.tensor([3.0]))
    gate = trained_gate(sizes).train()
    inputs = torch.ones(50, 10)
    with torch.no_grad():
        gate.clean.weight.zero_()[0] = 0.05  # of gate a, the first expert is the busy one
    gate(inputs)
    (slope,) = torch.autograd.grad(gate.extra_loss(), gate.clean.weight)
    assert slope[0].sum() > 0 > slope[1:5].sum()


def test_ple_mixes_a_heads_own_experts_with_the_shared_ones_alone(sizes: ModelConfig) -> None:
    ple, inputs = backbone(sizes, "ple", experts=2, own_experts=2), rows()
    (layer,) = ple.layers
    experts = layer.experts(inputs.unsqueeze(1).expand(-1, 8, -1))  # two of each head, then two shared
    for head, seen in enumerate(([0, 1, 6, 7], [2, 3, 6, 7], [4, 5, 6, 7])):
        expected = torch.bmm(layer.gates[head](inputs), experts[:, seen]).squeeze(1)
        assert torch.allclose(ple(inputs)[:, head], expected, atol=1e-6)


def test_another_heads_experts_reach_a_head_through_the_shared_stream_alone(sizes: ModelConfig) -> None:
    for layers, reached in ((1, False), (2, True)):
        ple = backbone(sizes, "ple", own_experts=1, experts=1, expert_layers=layers)
        ple(rows())[:, 0].sum().backward()
        (weight,) = [p for name, p in ple.named_parameters() if name == "layers.0.experts.layers.0.weight_PIH"]
        assert weight.grad is not None
        assert bool((weight.grad[1] != 0).any()) is reached  # of head 1
        assert (weight.grad[0] != 0).any()


def test_cross_stitch_starts_near_separate_trunks_and_is_them_with_identity(sizes: ModelConfig) -> None:
    stitched, separate = backbone(sizes, "cross-stitch"), backbone(sizes, "separate")
    weights = stitched.state_dict()
    assert torch.allclose(weights["stitches.0"].sum(dim=1), torch.ones(3))
    assert torch.allclose(weights["stitches.1"].diagonal(), torch.tensor(OWN))
    separate.load_state_dict({f"bottoms.{name}": w for name, w in weights.items() if "stitches" not in name})
    assert not torch.allclose(stitched(rows()), separate(rows()), atol=1e-4)
    for name in ("stitches.0", "stitches.1"):
        weights[name].copy_(torch.eye(3))
    assert torch.allclose(stitched(rows()), separate(rows()), atol=1e-6)


def test_a_last_stitch_combines_the_heads_layers(sizes: ModelConfig) -> None:
    stitched = backbone(sizes, "cross-stitch", expert_units=(8,))
    plain = torch.relu(stitched.first(rows())).view(7, 3, 8)
    alpha = stitched.stitches[0]
    assert torch.allclose(stitched(rows()), torch.einsum("kj,bjh->bkh", alpha, plain), atol=1e-6)


def test_soft_sharing_adds_the_mean_squared_distance_of_two_trunks(sizes: ModelConfig) -> None:
    soft, separate = backbone(sizes, "soft-sharing", sharing_weight=0.5), backbone(sizes, "separate")
    assert torch.equal(soft(rows()), separate(rows()))
    parts = soft.state_dict()
    first = torch.cat([parts["bottoms.first.weight"].view(3, -1), parts["bottoms.first.bias"].view(3, -1)], dim=1)
    rest = [part.flatten(1) for name, part in parts.items() if ".rest." in name]
    trunks = torch.cat([first, *rest], dim=1)
    pairs = [(trunks[i] - trunks[j]).square().sum() for i, j in itertools.combinations(range(3), 2)]
    assert torch.allclose(soft.extra_loss(), 0.5 * torch.stack(pairs).mean(), rtol=1e-5)


def pooled(sizes: ModelConfig) -> tuple[torch.Tensor, torch.Tensor]:
    return rows(6, len(DENSE_FEATURES)), rows(6, len(FEATURES) * sizes.embedding_dim)


def test_only_presets_with_a_further_loss_have_one(sizes: ModelConfig) -> None:
    for name, more in (("mmoe-esm2", False), ("soft-sharing", True), ("sparse-mmoe", True)):
        network = DenseNetwork(preset(name, sizes))
        network(*pooled(sizes))
        assert bool(network.extra_loss() > 0) is more


def test_dbmtl_conditionals_read_their_parents_hidden_vectors(sizes: ModelConfig) -> None:
    network = DenseNetwork(preset("dbmtl", sizes))
    heads = network.heads
    hidden = torch.rand(6, 4, 5).requires_grad_()
    assert network.parent_hiddens is not None
    passed = network.parent_hiddens(hidden)
    reads = torch.stack([torch.autograd.grad(passed[:, k].sum(), hidden, retain_graph=True)[0].abs().sum((0, 2)) > 0
                         for k in range(4)])  # fmt: skip
    assert heads == ("click", "cart | click", "purchase | cart", "purchase | click, no cart")
    assert reads.tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, False, True],
    ]
    assert torch.equal(passed[:, 0], hidden[:, 0])


def test_nmtr_adds_each_behaviours_logit_to_the_next(sizes: ModelConfig) -> None:
    config = replace(preset("nmtr", sizes), position_tower=False)
    torch.manual_seed(2)
    chained = DenseNetwork(config)
    apart = DenseNetwork(replace(config, cascade=False))
    apart.load_state_dict(chained.state_dict())
    own = apart.logits(*pooled(sizes)) + 2.0
    expected = torch.stack([own[:, 0], own[:, 0] + own[:, 1], own.sum(dim=1)], dim=1) - 2.0
    assert torch.allclose(chained.logits(*pooled(sizes)), expected, atol=1e-6)
    with pytest.raises(ConfigError, match="preset nmtr: model.cascade: .*cart | click"):
        preset("nmtr", replace(sizes, heads=("click", "cart | click", "purchase | click")))


def test_a_position_counts_by_device_where_asked(sizes: ModelConfig) -> None:
    dense, vectors = pooled(sizes)
    dim, device = sizes.embedding_dim, [feature.name for feature in FEATURES].index("device")
    moved = vectors.clone()
    moved[:, -dim:] += 1.0
    for name, by_device in (("mmoe", False), ("mmoe-position", True)):
        network = DenseNetwork(preset(name, sizes))
        shift = network.logits(dense, moved) - network.logits(dense, vectors)
        assert torch.allclose(shift[0], shift[1], atol=1e-5) is not by_device
        same = vectors.clone()
        same[:, device * dim : (device + 1) * dim] = 0.7
        shift = network.logits(dense, torch.cat([same[:, :-dim], moved[:, -dim:]], 1)) - network.logits(dense, same)
        assert torch.allclose(shift[0], shift[1], atol=1e-5)  # alike on like devices


def test_the_report_is_the_mean_weight_of_each_expert_per_head(sizes: ModelConfig) -> None:
    torch.manual_seed(3)
    network = DenseNetwork(preset("mmoe-esm2", sizes)).train()
    dense, vectors = pooled(sizes)
    backbone: Module = network.backbone
    with torch.no_grad():
        backbone.gate.weight.view(4, 3, -1)[1] = 0.0  # of the second head: all experts alike
    uses = expert_use(network, dense, vectors)
    assert [use.reader for use in uses] == list(network.heads)
    assert all(abs(sum(use.shares_E) - 1.0) < 1e-5 for use in uses)
    assert abs(uses[1].effective_experts - 3.0) < 1e-3
    assert network.training
    weights = backbone.gates(network.encode(dense, vectors)).mean(dim=0)
    assert torch.allclose(torch.tensor(uses[2].shares_E), weights[2], atol=1e-6)
    assert report(uses).startswith("click ")


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("omoe", ["all heads"]),
        ("ple", ["click", "cart", "purchase", "shared", "click", "cart", "purchase"]),
        ("sparse-mmoe", ["click", "cart", "purchase"]),
        ("esmm", []),
    ],
)
def test_the_report_covers_every_gate_of_a_preset(name: str, readers: list[str], sizes: ModelConfig) -> None:
    uses = expert_use(DenseNetwork(preset(name, sizes)), *pooled(sizes))
    assert [use.reader for use in uses] == readers
    if name == "sparse-mmoe":  # two of three let through, and all weights start at 0: the third is idle
        assert all(len(use.idle) == 1 for use in uses)
        assert "idle: " in report(uses)
