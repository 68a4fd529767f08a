"""Draws results as one SVG text, light or dark as its reader prefers: panels of lines and whiskers. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 250, 190, 56, 70, 34
_COLOURS: Final = ("#1668b3", "#b3530f", "#2a7d3f", "#8a3fa8", "#7a7f87", "#a8323e", "#3b8c8c", "#96751a")
_STYLE: Final = """
  .ground { fill: #ffffff } .ink { fill: #1c2430 } .soft { fill: #5b6675 } .axis { stroke: #aab3bf; fill: none }
  text { font: 12px system-ui, sans-serif } .title { font-size: 16px; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #12171f } .ink { fill: #e6ebf2 } .soft { fill: #9aa7b8 } .axis { stroke: #45505e }
  }"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A curve, or a dot where it has one point."""

    xs: tuple[float, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    """Standard deviation at each point; a whisker up and down at the last one."""


def draw(title: str, note: str, panels: Mapping[str, Mapping[str, Line]]) -> str:
    """Return the picture.

    Args:
        title: one line above.
        note: what the axes are.
        panels: by title, each a line per name; names have the same colour in every panel, and panels the same scale.
    """
    lines = [line for panel in panels.values() for line in panel.values()]
    xs = _span([x for line in lines for x in line.xs])
    ys = _span([mean + side * line.spreads[-1] for line in lines for mean in line.means[-1:] for side in (-1, 1)]
               + [mean for line in lines for mean in line.means])  # fmt: skip
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}
    width = _LEFT + len(panels) * (_WIDTH + _GAP)
    height = _TOP + _HEIGHT + 46 + 18 * ((len(names) + 3) // 4)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">',
        f'<style>{_STYLE}</style><rect class="ground" width="{width}" height="{height}"/>',
        f'<text class="ink title" x="16" y="26">{escape(title)}</text>',
        f'<text class="soft" x="16" y="44">{escape(note)}</text>',
    ]
    for number, (name, panel) in enumerate(panels.items()):
        left = _LEFT + number * (_WIDTH + _GAP)
        parts.append(f'<text class="ink" x="{left}" y="{_TOP - 6}">{escape(name)}</text>')
        parts.append(f'<path class="axis" d="M{left} {_TOP}v{_HEIGHT}h{_WIDTH}"/>')
        if number == 0:
            parts += [
                f'<text class="soft" x="{left - 6}" y="{y}" text-anchor="end">{value:.3g}</text>'
                for value, y in ((ys[1], _TOP + 10), (ys[0], _TOP + _HEIGHT))
            ]
        parts += [_line(line, colours[each], left, xs, ys) for each, line in panel.items()]
    for number, name in enumerate(names):
        x, y = 16 + (number % 4) * max(width // 4, 120), _TOP + _HEIGHT + 32 + 18 * (number // 4)
        parts.append(f'<circle cx="{x + 5}" cy="{y - 4}" r="4" fill="{colours[name]}"/>')
        parts.append(f'<text class="ink" x="{x + 14}" y="{y}">{escape(name)}</text>')
    return "".join(parts) + "</svg>\n"


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low or 1.0) * 0.06
    return low - room, high + room


def _line(line: Line, colour: str, left: float, xs: tuple[float, float], ys: tuple[float, float]) -> str:
    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - xs[0]) / (xs[1] - xs[0]) * _WIDTH,
            _TOP + _HEIGHT - (y - ys[0]) / (ys[1] - ys[0]) * _HEIGHT,
        )

    points = [place(x, y) for x, y in zip(line.xs, line.means, strict=True)]
    x, y = points[-1]
    low, high = (place(line.xs[-1], line.means[-1] + side * line.spreads[-1])[1] for side in (-1, 1))
    path = " ".join(f"{'ML'[index > 0]}{px:.1f} {py:.1f}" for index, (px, py) in enumerate(points))
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-width="1.8"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{colour}"/>'
    )
