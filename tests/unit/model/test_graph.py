"""Behaviour graphs: total probability, order of the funnel, and life at extreme logits."""

from __future__ import annotations

import itertools

import pytest
import torch

from springtide.contracts.tasks import TASKS
from springtide.model.graph import GRAPHS, BehaviourGraph, Composition, Path

EXTREME = [-40.0, -5.0, 0.0, 5.0, 40.0]
NAMES = list(GRAPHS)


def logits(graph: BehaviourGraph, *, grad: bool = False) -> torch.Tensor:
    rows = list(itertools.product(EXTREME, repeat=len(graph.heads)))
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
        (gradient,) = torch.autograd.grad(
            -(label * output.logp_BT + (1 - label) * output.log1mp_BT).sum(), heads, retain_graph=True
        )
        assert gradient.isfinite().all()
        # the first head is wrong by 40: its gradient must not have vanished
        wrong = heads[:, 0] == (-40.0 if label else 40.0)
        if label:
            assert (gradient[wrong, 0].abs() > 0.5).all()


@pytest.mark.parametrize("name", NAMES)
def test_p_and_its_complement_add_up_to_one(name: str) -> None:
    output = Composition(GRAPHS[name])(logits(GRAPHS[name]).double().float())
    assert torch.allclose(output.logp_BT.exp() + output.log1mp_BT.exp(), torch.ones(1), atol=1e-6)


@pytest.mark.parametrize("name", ["esmm", "esm2"])
def test_no_later_behaviour_is_likelier_than_a_click(name: str) -> None:
    logp_BT = Composition(GRAPHS[name])(logits(GRAPHS[name])).logp_BT
    assert (logp_BT[:, 1:] <= logp_BT[:, :1] + 1e-6).all()


def test_esm2_is_the_papers_formula() -> None:
    heads = torch.randn(50, 4)
    y1, y2, y3, y4 = heads.sigmoid().unbind(1)
    expected = torch.stack([y1, y1 * y2, y1 * ((1 - y2) * y4 + y2 * y3)], dim=1)
    assert torch.allclose(Composition(GRAPHS["esm2"])(heads).logp_BT.exp(), expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_serving_composition_equals_the_training_one(name: str) -> None:
    composition, heads = Composition(GRAPHS[name]), logits(GRAPHS[name])
    assert torch.allclose(composition.probabilities(heads), composition(heads).logp_BT.exp(), atol=1e-7)
