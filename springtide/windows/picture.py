"""Draws delay curves with the proposed windows as one SVG text, light or dark as its reader prefers. Pure."""

from collections.abc import Iterator, Mapping
from html import escape
from math import log
from typing import Final

from springtide.contracts.tasks import Task
from springtide.windows.proposal import TaskProposal, Window

_WIDTH, _HEIGHT = 960, 430
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 660, 76, 376
"""Edges of the plot; to its right stands the legend."""
_TICKS: Final = {"1s": 1_000, "10s": 10_000, "1m": 60_000, "10m": 600_000, "1h": 3_600_000, "6h": 21_600_000,
                 "1d": 86_400_000, "3d": 259_200_000, "7d": 604_800_000, "30d": 2_592_000_000}  # fmt: skip
_STYLE: Final = """
  .ground { fill: #ffffff } .ink { fill: #1c2430 } .soft { fill: #5b6675 } .line { stroke: #d9dee5 }
  .click { --c: #1668b3 } .cart { --c: #b3530f } .purchase { --c: #2a7d3f }
  .curve { fill: none; stroke: var(--c); stroke-width: 2.2 } .band { fill: var(--c); opacity: .16 }
  .early { fill: #ffffff; stroke: var(--c); stroke-width: 2.2 } .late { fill: var(--c) }
  .drop { stroke: var(--c); stroke-dasharray: 2 4; opacity: .8 } .name { fill: var(--c); font-weight: 600 }
  text { font: 13px system-ui, sans-serif } .title { font-size: 17px; font-weight: 600 } .small { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #12171f } .ink { fill: #e6ebf2 } .soft { fill: #9aa7b8 } .line { stroke: #2b3542 }
    .click { --c: #62a8ec } .cart { --c: #f0a05a } .purchase { --c: #6cc784 } .early { fill: #12171f }
  }"""


def draw_curves(proposals: Mapping[Task, TaskProposal | None], *, title: str, note: str) -> str:
    """Return the picture: share of labels over delay per task, a ring at the observation window, a disc at the other.

    Args:
        proposals: per task; a task without one is named as not known.
        title: one line above.
        note: one smaller line beneath it.
    """
    known = [proposal for proposal in proposals.values() if proposal]
    scale = _Scale(max((proposal.curve.reach_ms for proposal in known), default=86_400_000))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{_STYLE}\n</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>',
        _text(_LEFT, 28, title, "ink title"),
        _text(_LEFT, 48, note, "soft small"),
        *_grid(scale),
        *(line for proposal in known for line in _curve(scale, proposal)),
        *_legend(proposals),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Scale:
    """Delay on a logarithmic axis from one second, share on a linear one."""

    def __init__(self, longest_ms: float) -> None:
        self.longest_ms = max(longest_ms, 10_000.0)

    def x(self, delay_ms: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * log(max(delay_ms, 1_000.0) / 1_000) / log(self.longest_ms / 1_000)

    def y(self, share: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * share


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _grid(scale: _Scale) -> Iterator[str]:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = scale.y(share)
        yield f'<line class="line" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 8, y + 4, f"{share:.0%}", "soft small", "end")
    for text, delay_ms in _TICKS.items():
        if delay_ms <= scale.longest_ms:
            x = scale.x(delay_ms)
            yield f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{_BOTTOM}" y2="{_BOTTOM + 5}"/>'
            yield _text(x, _BOTTOM + 20, text, "soft small", "middle")
    middle = (_LEFT + _RIGHT) / 2
    yield _text(middle, _BOTTOM + 40, "delay after the impression, event time", "soft small", "middle")


def _curve(scale: _Scale, proposal: TaskProposal) -> Iterator[str]:
    curve = proposal.curve
    rows = [
        (scale.x(delay), scale.y(share), scale.y(low), scale.y(high))
        for delay, share, low, high in zip(curve.edges_ms_E, curve.share_E, curve.low_E, curve.high_E, strict=True)
        if delay >= 1_000
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in rows)
    upper = [f"{x:.1f},{high:.1f}" for x, _, _, high in rows]
    lower = [f"{x:.1f},{low:.1f}" for x, _, low, _ in reversed(rows)]
    yield f'<g class="{proposal.task}">'
    yield f'<polygon class="band" points="{" ".join(upper + lower)}"/>'
    yield f'<polyline class="curve" points="{line}"/>'
    for window, kind in ((proposal.observation, "early"), (proposal.attribution, "late")):
        x, y = scale.x(window.ms), scale.y(window.share)
        yield f'<line class="drop" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{_BOTTOM}"/>'
        yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    yield "</g>"


def _legend(proposals: Mapping[Task, TaskProposal | None]) -> Iterator[str]:
    x, y = _RIGHT + 28, _TOP + 10
    for task, proposal in proposals.items():
        yield f'<g class="{task}">'
        yield _text(x, y, task, "name")
        if proposal is None:
            yield _text(x, y + 20, "too few labels to say", "soft small")
        else:
            yield _text(x + 80, y, f"{proposal.curve.labels:,} labels", "soft small")
            rows = ((proposal.observation, "early", "observation"), (proposal.attribution, "late", "attribution"))
            for place, (window, kind, name) in enumerate(rows):
                yield f'<circle class="{kind}" cx="{x + 5}" cy="{y + 18 + 20 * place}" r="4.5"/>'
                yield _text(x + 18, y + 22 + 20 * place, f"{name} {_worth(window)}", "ink small")
        yield "</g>"
        y += 88


def _worth(window: Window) -> str:
    return f"{window.text}: {window.share:.1%} ({100 * window.low:.1f}–{100 * window.high:.1f})"
