"""Draws a behaviour graph as one SVG text, light or dark as its reader prefers, and writes its products out. Pure.

Columns are depths from the impression. An edge is solid where the parent must have happened, dashed where it must not.
An edge over several columns has a free slot in each between, so that it passes no head.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from springtide.contracts.tasks import TASKS, Task
from springtide.model.behaviour_graph import BehaviourGraph

_COLUMN, _SLOT, _TOP, _LEFT = 236, 72, 92, 28
_BOX_WIDTH, _BOX_HEIGHT = 176, 46
_LINE, _LEAST_WIDTH = 22, 760
_STYLE: Final = """
  .ground { fill: #ffffff } .ink { fill: #1c2430 } .soft { fill: #5b6675 }
  .node { fill: #f4f6f9; stroke: var(--c); stroke-width: 1.8 } .other { --c: #5b6675 }
  .click { --c: #1668b3 } .cart { --c: #b3530f } .purchase { --c: #2a7d3f }
  .edge { fill: none; stroke: var(--c); stroke-width: 1.8 } .missed { stroke-dasharray: 5 5 }
  .name { fill: var(--c); font-weight: 600 }
  text { font: 13px system-ui, sans-serif } .title { font-size: 17px; font-weight: 600 } .small { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #12171f } .ink { fill: #e6ebf2 } .soft { fill: #9aa7b8 }
    .node { fill: #1a212c } .other { --c: #9aa7b8 }
    .click { --c: #62a8ec } .cart { --c: #f0a05a } .purchase { --c: #6cc784 }
  }"""
_SMALL: Final = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def symbol(head: int) -> str:
    """Return a head's symbol: y₁ is the first."""
    return f"y{head + 1}".translate(_SMALL)


def product(graph: BehaviourGraph, task: Task) -> str:
    """Return a task's probability in terms of the heads, as in `y₁(1−y₂)y₄ + y₁y₂y₃`."""
    number = {name: symbol(head) for head, name in enumerate(graph.heads)}
    return " + ".join(
        "".join(number[literal[1:]] if literal[0] == "+" else f"(1−{number[literal[1:]]})" for literal in path)
        for path in graph.happens[task]
    )


def draw_graph(graph: BehaviourGraph, *, title: str, note: str) -> str:
    """Return the picture: heads, edges and, beneath, each task's product.

    Args:
        graph: without problems.
        title: one line above.
        note: one smaller line beneath it.
    """
    layout = _Layout(graph)
    width, foot = layout.width, layout.height + 34
    height = foot + _LINE * len(TASKS) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{_STYLE}\n</style>",
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>',
        _text(_LEFT, 30, title, "ink title"),
        _text(_LEFT, 52, note, "soft small"),
        *(line for edge in layout.edges() for line in _edge(edge)),
        *_node(layout.impression, "impression", "", "other"),
        *(
            line
            for head, node in enumerate(graph.nodes)
            for line in _node(layout.places[head], node.name, symbol(head), _kind(node.behaviour))
        ),
        *(_product(graph, task, foot + _LINE * row) for row, task in enumerate(TASKS)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Edge:
    kind: str
    missed: bool
    points: list[tuple[float, float]]
    """Middle of the parent, of a free slot per column between, and of the child."""


class _Layout:
    """Where everything stands; places are the middles of boxes."""

    def __init__(self, graph: BehaviourGraph) -> None:
        self._graph = graph
        depths = [graph.depth(head) + 1 for head in range(len(graph.heads))]
        columns: list[list[tuple[int, int]]] = [[] for _ in range(max(depths) + 1)]
        for head, depth in enumerate(depths):  # a head is (head, head), a free slot (parent, head)
            columns[depth].append((head, head))
            for parent in graph.parent_heads(head):
                for between in range(depths[parent] + 1, depth):
                    columns[between].append((parent, head))
        most = max(len(column) for column in columns)
        self.width = max(2 * _LEFT + _COLUMN * (len(columns) - 1) + _BOX_WIDTH, _LEAST_WIDTH)
        self.height = _TOP + _SLOT * most
        self._depths = depths
        self._slots = {
            (depth, *entry): (
                _LEFT + _BOX_WIDTH / 2 + _COLUMN * depth,
                _TOP + _SLOT * (row + (most - len(column) + 1) / 2) - 10,
            )
            for depth, column in enumerate(columns)
            for row, entry in enumerate(column)
        }
        self.places = [self._slots[depth, head, head] for head, depth in enumerate(depths)]
        self.impression = (_LEFT + _BOX_WIDTH / 2, _TOP + _SLOT * most / 2 - 10)

    def edges(self) -> Iterator[_Edge]:
        """Yield the edges, from the impression's on."""
        for head, node in enumerate(self._graph.nodes):
            if not node.parents:
                yield _Edge(kind="other", missed=False, points=[self.impression, self.places[head]])
            for parent in self._graph.parent_heads(head):
                behaviour = self._graph.nodes[parent].behaviour
                between = range(self._depths[parent] + 1, self._depths[head])
                free = [self._slots[depth, parent, head] for depth in between]
                yield _Edge(
                    kind=_kind(behaviour),
                    missed=behaviour in node.missed,
                    points=[self.places[parent], *free, self.places[head]],
                )


def _kind(behaviour: str) -> str:
    return behaviour if behaviour in TASKS else "other"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _node(place: tuple[float, float], name: str, sign: str, kind: str) -> Iterator[str]:
    x, y = place
    behaviour, _, conditions = name.partition(" | ")
    yield f'<g class="{kind}">'
    yield (
        f'<rect class="node" x="{x - _BOX_WIDTH / 2:.1f}" y="{y - _BOX_HEIGHT / 2:.1f}" width="{_BOX_WIDTH}" '
        f'height="{_BOX_HEIGHT}" rx="7"/>'
    )
    yield _text(x, y + (-3 if conditions else 5), f"{sign}  {behaviour}".strip(), "name", "middle")
    if conditions:
        yield _text(x, y + 14, f"given {conditions}", "soft small", "middle")
    yield "</g>"


def _edge(edge: _Edge) -> Iterator[str]:
    half, bend = _BOX_WIDTH / 2, (_COLUMN - _BOX_WIDTH) / 2
    x, y = edge.points[0]
    line = f"M{x + half:.1f},{y:.1f}"
    for number, (next_x, next_y) in enumerate(edge.points[1:], start=1):
        left, right = next_x - half, next_x + half
        line += f" C{left - bend:.1f},{y:.1f} {left - bend:.1f},{next_y:.1f} {left:.1f},{next_y:.1f}"
        if number < len(edge.points) - 1:
            line += f" H{right:.1f}"
        y = next_y
    kind = "edge missed" if edge.missed else "edge"
    yield f'<g class="{edge.kind}"><path class="{kind}" d="{line}"/></g>'


def _product(graph: BehaviourGraph, task: Task, y: float) -> str:
    loss = "" if task in graph.supervised else "   (no loss)"
    return f'<g class="{task}">{_text(_LEFT, y, f"p({task}) = {product(graph, task)}{loss}", "name")}</g>'
