"""The picture of a graph is sound XML, light and dark, with every head, edge and product in it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from springtide.model.behaviour_graph import GRAPHS, BehaviourGraph
from springtide.model.graph_picture import draw_graph, product

SVG = "{http://www.w3.org/2000/svg}"
WISH = BehaviourGraph(
    lines=(
        "click",
        "wish | click",
        "cart | click, no wish",
        "cart | wish",
        "purchase | cart",
        "purchase | click, no cart",
    )
)  # fmt: skip


def test_products_are_written_as_in_the_papers() -> None:
    assert product(GRAPHS["esmm"], "purchase") == "y₁y₃"
    assert product(GRAPHS["esm2"], "purchase") == "y₁(1−y₂)y₄ + y₁y₂y₃"


@pytest.mark.parametrize("graph", [*GRAPHS.values(), WISH])
def test_every_head_edge_and_product_is_drawn(graph: BehaviourGraph) -> None:
    text = draw_graph(graph, title="a <graph>", note="a note")
    tree = ElementTree.fromstring(text)
    boxes = list(tree.iter(f"{SVG}rect"))
    assert len(boxes) == 2 + len(graph.heads)  # the ground and the impression
    parents = [graph.parent_heads(head) for head in range(len(graph.heads))]
    paths = [path.get("class") for path in tree.iter(f"{SVG}path")]
    assert len(paths) == sum(max(len(heads), 1) for heads in parents)
    missed = sum(
        graph.nodes[parent].behaviour in node.missed
        for node, heads in zip(graph.nodes, parents, strict=True)
        for parent in heads
    )
    assert paths.count("edge missed") == missed
    said = "".join(tree.itertext())
    assert f"p(purchase) = {product(graph, 'purchase')}" in said
    assert "a <graph>" in said
    assert "prefers-color-scheme: dark" in text
    width, height = map(float, tree.get("viewBox", "").split()[2:])
    places = [(float(box.get("x", 0)), float(box.get("y", 0))) for box in boxes[1:]]
    assert len(set(places)) == len(places)
    assert all(0 < x < width - 176 and 60 < y < height - 46 for x, y in places)


def test_a_product_without_a_loss_says_so() -> None:
    graph = BehaviourGraph(lines=GRAPHS["esm2"].lines, supervised=("click", "purchase"))
    assert draw_graph(graph, title="t", note="n").count("(no loss)") == 1
