"""The comparison as SVG: what each method closes of the AUC gap, and how well calibrated it is; a dot per seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Final

from benchmarks.learning.delayed_learner import Figures

LEFT: Final = 130
PANEL: Final = 300
GAP: Final = 50
ROW: Final = 26
TOP: Final = 48
GAP_RANGE: Final = (-0.6, 1.2)
CALIBRATION_RANGE: Final = (0.75, 1.1)


def draw(closed: Mapping[str, Sequence[float]], found: Mapping[str, Sequence[Figures]]) -> str:
    """Return the picture.

    Args:
        closed: share of the AUC gap from vanilla to the oracle, per learner and seed.
        found: figures per learner and seed.
    """
    calibration = {name: [each.calibration for each in figures] for name, figures in found.items()}
    height = TOP + ROW * len(closed) + 16
    width = LEFT + 2 * PANEL + GAP + 20
    names = (
        f'<text x="{LEFT - 12}" y="{TOP + ROW * (row + 0.7):.0f}" text-anchor="end">{escape(name)}</text>'
        for row, name in enumerate(closed)
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="13" fill="#333">',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *names,
            *_panel(LEFT, "share of the AUC gap closed", closed, GAP_RANGE, (0.0, 0.35, 1.0)),
            *_panel(LEFT + PANEL + GAP, "calibration", calibration, CALIBRATION_RANGE, (0.95, 1.0, 1.05)),
            "</svg>\n",
        ]
    )


def _panel(
    left: int, title: str, values: Mapping[str, Sequence[float]], span: tuple[float, float], marks: Iterable[float]
) -> Iterable[str]:
    place = _scale(left, span)
    bottom = TOP + ROW * len(values)
    yield f'<text x="{left + PANEL / 2:.0f}" y="16" text-anchor="middle" font-weight="bold">{escape(title)}</text>'
    for mark in marks:
        yield f'<line x1="{place(mark):.1f}" x2="{place(mark):.1f}" y1="{TOP}" y2="{bottom}" stroke="#bbb"/>'
        yield f'<text x="{place(mark):.1f}" y="{TOP - 8}" text-anchor="middle" font-size="11">{mark:g}</text>'
    for row, seeds in enumerate(values.values()):
        middle = TOP + ROW * (row + 0.5)
        yield f'<line x1="{left}" x2="{left + PANEL}" y1="{middle:.0f}" y2="{middle:.0f}" stroke="#eee"/>'
        for value in seeds:
            inside = span[0] <= value <= span[1]
            fill = "#1f6fb2" if inside else "none"  # hollow: beyond the panel's edge
            yield (
                f'<circle cx="{place(value):.1f}" cy="{middle:.0f}" r="4.5" fill="{fill}" fill-opacity="0.7" '
                f'stroke="#1f6fb2"><title>{value:.3f}</title></circle>'
            )


def _scale(left: int, span: tuple[float, float]) -> Callable[[float], float]:
    """Return the map from a value to its place, held within the panel."""
    low, high = span
    return lambda value: left + PANEL * (min(max(value, low), high) - low) / (high - low)
