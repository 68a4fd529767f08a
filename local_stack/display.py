"""Shows a run: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from local_stack.watch import View

_PLAIN_EVERY_S = 10.0
_COLOURS = {"FATAL": "red", "BACKOFF": "yellow", "EXITED": "dim", "STOPPED": "dim"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is to be seen at one moment."""

    phase: str
    """starting, running, draining, measuring or done."""
    views: Sequence[View]
    progress: float = 0.0
    """Share of the story that is told, 0 to 1."""
    days: float = 0.0
    """Length of the story in simulated days; 0 in a replay."""
    elapsed_s: float = 0.0
    """Wall time since the start, seconds."""
    backlog: int = 0
    """Messages still to be read while draining."""
    url: str = ""
    """Address of the page, with its token."""


class Display:
    """Prints what happens; on a terminal it keeps a live picture beneath."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._last: dict[str, tuple[str, int]] = {}
        self._next_line = 0.0

    def __enter__(self) -> Display:
        self._context.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._context.__exit__(*problem)

    def tell(self, line: str) -> None:
        """Say one sentence that stays."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show(self, scene: Scene) -> None:
        """Show how things stand now."""
        if self._live is not None:
            self._live.update(picture(scene), refresh=True)
        else:
            self._print_changes(scene)

    @property
    def _context(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._live is None else self._live

    def _print_changes(self, scene: Scene) -> None:
        for view in scene.views:
            now = (word(view), view.restarts)
            if self._last.get(view.name, ("stopped", 0)) != now:
                again = f" (restart {view.restarts})" if view.restarts else ""
                self.tell(f"{view.name}: {word(view)}{again}: {view.status}")
            self._last[view.name] = now
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _PLAIN_EVERY_S
            self.tell(headline(scene))


def headline(scene: Scene) -> str:
    """Return the run's own line: phase, simulated time, wall time."""
    day = f"day {scene.progress * scene.days:.2f} of {scene.days:g}" if scene.days else f"{scene.progress:.1%}"
    left = f", {scene.backlog:,} messages left" if scene.backlog else ""
    return f"{scene.phase}: {day}{left}, {timedelta(seconds=int(scene.elapsed_s))} since the start"


def word(view: View) -> str:
    """Return one word for how a process stands."""
    if view.state in ("STARTING", "RUNNING"):
        return "ready" if view.ready else "starting"
    return "done" if view.is_done else view.state.lower()


def table_of(views: Sequence[View]) -> Table:
    """Return one row a process."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    longest = max((len(view.name) for view in views), default=0)
    for heading, width in (("process", longest), ("state", 8), ("restarts", 8)):
        table.add_column(heading, no_wrap=True, min_width=width, header_style="dim")
    table.add_column("progress", no_wrap=True, overflow="ellipsis", header_style="dim")
    for view in views:
        colour = _COLOURS.get(view.state, "green" if view.ready else "yellow")
        state = Text(word(view), style=colour)
        table.add_row(view.name, state, str(view.restarts or ""), Text(view.status))
    return table


def picture(scene: Scene) -> Group:
    """Return the live picture: the table, the bar of simulated days, the page's address."""
    parts: list[Any] = [table_of(scene.views), Text(headline(scene))]
    bar = Table.grid()
    bar.add_row(ProgressBar(total=1.0, completed=scene.progress, width=60))
    parts.append(bar)
    if scene.url:
        parts.append(Text(f"page: {scene.url}", style="bold"))
    return Group(*parts)
