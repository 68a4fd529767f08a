"""From delay curves to windows: the shortest readable durations that catch enough labels. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from springtide.contracts.tasks import TASKS, Task
from springtide.windows.delay_table import READABLE_MS, DelayCurve, DelayTable

SHORTEST_OBSERVATION: Final = "1m"
"""A row that is due sooner tells little more: the joiner emits it when the watermark has passed."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window and the share of labels that it catches, with a 95 % interval."""

    text: str
    """As settings write it, such as `30m`."""
    ms: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TaskProposal:
    """What one task's labels ask for."""

    task: Task
    curve: DelayCurve
    observation: Window
    attribution: Window
    doubt: str
    """Why the attribution window may be too short; empty when nothing speaks against it."""


def propose(tables: Mapping[Task, DelayTable], *, catch: float, early: float) -> dict[Task, TaskProposal | None]:
    """Propose windows per task; None for a task with too few labels to say.

    Args:
        tables: one per task.
        catch: share of labels that the attribution window shall catch, 0 to 1.
        early: share of labels that the observation window shall catch, at most `catch`.
    """
    curves = {task: tables[task].curve() for task in TASKS}
    return {task: _propose(task, curve, catch, early) if curve else None for task, curve in curves.items()}


def _propose(task: Task, curve: DelayCurve, catch: float, early: float) -> TaskProposal:
    within = {text: ms for text, ms in READABLE_MS.items() if ms <= curve.reach_ms} or {"1s": 1000}
    attribution = _shortest(within, curve, catch)
    long_enough = {text: ms for text, ms in within.items() if ms >= READABLE_MS[SHORTEST_OBSERVATION]}
    observation = min(_shortest(long_enough or within, curve, early), attribution, key=lambda window: window.ms)
    return TaskProposal(task, curve, observation, attribution, _doubt(curve, attribution, catch))


def _shortest(durations: Mapping[str, int], curve: DelayCurve, share: float) -> Window:
    """Return the shortest duration that catches the share, else the longest."""
    windows = [Window(text, ms, *curve.at(ms)) for text, ms in durations.items()]
    return next((window for window in windows if window.share >= share), windows[-1])


def _doubt(curve: DelayCurve, attribution: Window, catch: float) -> str:
    if attribution.share < catch:
        return "the events end before enough labels are in; read a longer time"
    if attribution.ms * 2 > curve.reach_ms:
        return "the events reach little further than this window; labels later than their end are not known of"
    if attribution.low < catch - 0.05:
        return "few labels; the interval is wide"
    return ""


def settings_lines(proposals: Mapping[Task, TaskProposal | None]) -> Iterator[str]:
    """Yield the section `[labels]` with the proposed windows; a task that cannot be judged is left to choose."""
    yield "[labels]"
    for name in ("observation", "attribution"):
        parts = []
        for task, proposal in proposals.items():
            parts.append(f'{task} = "{getattr(proposal, name).text if proposal else "?"}"')
        yield f"{name} = {{ {', '.join(parts)} }}"


def as_dict(proposals: Mapping[Task, TaskProposal | None]) -> dict[str, Any]:
    """Return everything as JSON-able values: windows, shares with intervals, and the curves."""
    return {task: _task_dict(proposal) if proposal else None for task, proposal in proposals.items()}


def _task_dict(proposal: TaskProposal) -> dict[str, Any]:
    curve = proposal.curve
    windows = {
        name: {"window": window.text, "ms": window.ms, "share": window.share, "interval": [window.low, window.high]}
        for name, window in (("observation", proposal.observation), ("attribution", proposal.attribution))
    }
    columns = {"delay_ms": curve.edges_ms_E, "share": curve.share_E, "low": curve.low_E, "high": curve.high_E}
    return {
        **windows,
        "labels": curve.labels, "impressions": curve.impressions, "labels_per_impression": curve.rate,
        "reach_ms": curve.reach_ms, "doubt": proposal.doubt,
        "curve": {name: column.tolist() for name, column in columns.items()},
    }  # fmt: skip
