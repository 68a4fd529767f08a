"""Behaviour graphs: total probability, order of the funnel, and life at extreme logits."""

from __future__ import annotations

import itertools

import pytest
import torch

from springtide.contracts.tasks import TASKS
from springtide.model.behaviour_graph import GRAPHS as NAMED
from springtide.model.behaviour_graph import BehaviourGraph, Path
from springtide.model.graph import Composition

EXTREME = [-40.0, -5.0, 0.0, 5.0, 40.0]
GRAPHS = {
    **NAMED,
    "favourite": BehaviourGraph(
        lines=(
            "purchase | click, no cart, no favourite",
            "purchase | favourite, no cart",
            "purchase | cart",
            "cart | favourite",
            "cart | click, no favourite",
            "favourite | click",
            "click",
        )
    ),
    "no-cart-loss": BehaviourGraph(
        lines=("seen", "click | seen", "cart | click", "purchase | cart", "purchase | click, no cart"),
        supervised=("click", "purchase"),
    ),
}
"""The named ones, one declared backwards with a behaviour that is no task, and one with a product without a loss."""
NAMES = list(GRAPHS)


def logits(graph: BehaviourGraph, *, grad: bool = False) -> torch.Tensor:
    values = EXTREME if len(graph.heads) < 6 else EXTREME[::2]
    rows = list(itertools.product(values, repeat=len(graph.heads)))
    return torch.tensor(rows, requires_grad=grad)


def holds(path: Path, world: dict[str, bool]) -> bool:
    return all(world[literal[1:]] == (literal[0] == "+") for literal in path)


@pytest.mark.parametrize("name", NAMES)
def test_in_every_world_exactly_one_path_of_a_task_or_its_complement_holds(name: str) -> None:
    graph = GRAPHS[name]
    for outcome in itertools.product([False, True], repeat=len(graph.heads)):
        world = dict(zip(graph.heads, outcome, strict=True))
        for task in TASKS:
            assert sum(holds(path, world) for path in graph.happens[task] + graph.fails[task]) == 1


@pytest.mark.parametrize("name", NAMES)
def test_extreme_logits_give_finite_logs_and_live_gradients(name: str) -> None:
    graph = GRAPHS[name]
    heads = logits(graph, grad=True)
    output = Composition(graph)(heads)
    for part in output:
        assert part.isfinite().all()
        assert (part <= 0).all()
    for label in (0.0, 1.0):
        for task in (column for column, task in enumerate(TASKS) if task in graph.supervised):
            logs_B = (output.logp_BT if label else output.log1mp_BT)[:, task]
            (gradient_BK,) = torch.autograd.grad(-logs_B.sum(), heads, retain_graph=True)
            assert gradient_BK.isfinite().all()
            wrong = logs_B < -4.0  # a label that the heads call next to impossible must move them
            assert wrong.any()
            assert (gradient_BK[wrong].abs().sum(dim=1) > 0.5).all()


@pytest.mark.parametrize("name", NAMES)
def test_p_and_its_complement_add_up_to_one(name: str) -> None:
    output = Composition(GRAPHS[name])(logits(GRAPHS[name]).double().float())
    assert torch.allclose(output.logp_BT.exp() + output.log1mp_BT.exp(), torch.ones(1), atol=1e-6)


@pytest.mark.parametrize("name", ["esmm", "esm2", "favourite", "no-cart-loss"])
def test_no_later_behaviour_is_likelier_than_a_click(name: str) -> None:
    logp_BT = Composition(GRAPHS[name])(logits(GRAPHS[name])).logp_BT
    click_B1 = logp_BT[:, :1]
    assert (logp_BT[:, 1:] <= click_B1 + 1e-6 * (1.0 + click_B1.abs())).all()  # up to float32's rounding


def test_esm2_is_the_papers_formula() -> None:
    heads = torch.randn(50, 4)
    y1, y2, y3, y4 = heads.sigmoid().unbind(1)
    expected = torch.stack([y1, y1 * y2, y1 * ((1 - y2) * y4 + y2 * y3)], dim=1)
    assert torch.allclose(Composition(GRAPHS["esm2"])(heads).logp_BT.exp(), expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_serving_composition_equals_the_training_one(name: str) -> None:
    composition, heads = Composition(GRAPHS[name]), logits(GRAPHS[name])
    assert torch.allclose(composition.probabilities(heads), composition(heads).logp_BT.exp(), atol=1e-7)


def test_a_product_without_a_loss_is_served_but_gives_no_gradient() -> None:
    graph = GRAPHS["no-cart-loss"]
    heads = torch.randn(20, 5, requires_grad=True, generator=torch.Generator().manual_seed(0))
    output = Composition(graph)(heads)
    whole = Composition(BehaviourGraph(lines=graph.lines))(heads)
    cart = TASKS.index("cart")
    assert torch.equal(output.logp_BT, whole.logp_BT)
    for logs_BT in output:
        assert (torch.autograd.grad(logs_BT[:, cart].sum(), heads, retain_graph=True)[0] == 0).all()
        assert (torch.autograd.grad(logs_BT[:, 0].sum(), heads, retain_graph=True)[0][:, :2] != 0).all()
