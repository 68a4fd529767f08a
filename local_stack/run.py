"""Runs the stack in the foreground: picture, story, summary, and an end that leaves nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_stack.display import Display, Scene
from local_stack.faults import Faults
from local_stack.interrupt import Interrupt
from local_stack.plan import Plan
from local_stack.run_record import page_token
from local_stack.samples import read_samples
from local_stack.stack import Stack
from local_stack.story import Phase, Story
from local_stack.summary import CHECKS, Bar, Check, Finished, measure, print_table, write_json
from local_stack.watch import View
from springtide.contracts.errors import ExitCode


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """What a run does beside running."""

    resume: bool = False
    """Go on from the state that is there; else it is wiped."""
    leave: bool = False
    """End with the summary; else the page stays up until Ctrl-C."""
    json_file: Path | None = None
    """Where the summary's bars are written."""
    checks: tuple[Check, ...] = CHECKS
    """What the finished run is measured by."""


class _EndedEarly(Exception):
    """An end was asked for while the stack was starting."""


class Run:
    """One run of the stack, from start to end.

    Args:
        plan: what to run.
        options: how to end.
        display: where to show it.
        interrupt: asked for the end by Ctrl-C.
    """

    def __init__(self, plan: Plan, options: RunOptions, display: Display, interrupt: Interrupt) -> None:
        self._plan = plan
        self._options = options
        self._display = display
        self._interrupt = interrupt
        self._stack = Stack(plan, self._tell_or_end, lambda: interrupt.hurried)
        self._faults = Faults(plan.kafka, self._stack.keeper, display.tell)
        self._story = Story(plan, lambda: read_samples(plan.processes))
        self._started_at = time.monotonic()
        self._is_told_url = False
        self._is_ending = False
        self._url = ""

    def to_the_end(self) -> ExitCode:
        """Run until the story is over and the end is asked for.

        Raises:
            StackError: the stack cannot start, or a process gave up.
        """
        try:
            self._stack.open(resume=self._options.resume)
            self._url = page_url(self._plan)
            return self._loop()
        except _EndedEarly:
            return ExitCode.INTERRUPTED
        finally:
            self._is_ending = True
            self._display.tell("stopping everything; Ctrl-C once more does not wait for an orderly end")
            self._faults.stop()
            self._stack.close()

    def _loop(self) -> ExitCode:
        bars: list[Bar] = []
        poll_s = self._plan.local_stack.poll_every.total_seconds()
        while not self._interrupt.asked:
            views = self._stack.step()
            self._greet(views)
            before = self._story.phase
            phase = self._story.advance(views, self._elapsed())
            self._show(views)
            if phase is Phase.MEASURED and before is not phase:
                bars = self._measure(views)
                if self._options.leave:
                    return verdict(bars)
                self._display.tell(f"the page stays up at {self._url} until Ctrl-C")
            self._interrupt.wait(poll_s)
        return verdict(bars) if self._story.phase is Phase.MEASURED else ExitCode.INTERRUPTED

    def _greet(self, views: Sequence[View]) -> None:
        """Tell the page's address and listen to commands, once the broker and the page answer."""
        if self._is_told_url or not all(view.ready for view in views if view.name in ("broker", "monitoring")):
            return
        self._is_told_url = True
        self._display.tell(f"page: {self._url}")
        self._faults.start()

    def _measure(self, views: Sequence[View]) -> list[Bar]:
        finished = Finished(
            plan=self._plan,
            views=views,
            samples=read_samples(self._plan.processes),
            simulated_days=self._story.day,
            story_s=(self._story.ended_s or 0.0) - (self._story.first_numbers_s or 0.0),
            first_numbers_s=self._story.first_numbers_s or self._elapsed(),
            drained=self._story.drained,
        )
        self._display.tell("measuring; this takes about a minute")
        bars = measure(finished, self._options.checks)
        print_table(bars, self._display.console)
        if self._options.json_file is not None:
            write_json(bars, self._options.json_file)
            self._display.tell(f"summary written to {self._options.json_file}")
        return bars

    def _show(self, views: Sequence[View]) -> None:
        self._display.show(
            Scene(
                phase=str(self._story.phase),
                views=views,
                progress=self._story.progress,
                days=self._story.days,
                elapsed_s=self._elapsed(),
                backlog=self._story.backlog,
                url=self._url,
            )
        )

    def _elapsed(self) -> float:
        return time.monotonic() - self._started_at

    def _tell_or_end(self, line: str) -> None:
        """Show a sentence of the stack; each is also a chance to end while the start goes on."""
        self._display.tell(line)
        if self._interrupt.asked and not self._is_ending:
            raise _EndedEarly


def page_url(plan: Plan) -> str:
    """Return the page's address with the token that its controls ask for."""
    port = plan.value("monitoring", "port", 18080)
    return f"http://{plan.process.host}:{port}/?token={page_token(plan.state)}"


def verdict(bars: Sequence[Bar]) -> ExitCode:
    """Return the exit code for a run that ended with these bars."""
    return ExitCode.OK if all(bar.holds for bar in bars) else ExitCode.BARS_MISSED
