"""What the page concluded: experiments, drift alarms, ledgers; asked over HTTP as a reader would."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

from local_stack.summary import Bar, Finished, at_most


def check_page(run: Finished) -> Iterator[Bar]:
    """Hold the page's verdicts against what the scenario injected."""
    panels = fetch_panels(run)
    if not panels:
        yield Bar(bar="page answers", value=0, limit=1, holds=False, unit="bool")
        return
    residuals = panels["join"]["labels_residual"]
    yield at_most("join: labels that no counter explains", sum(abs(value) for value in residuals.values()), 0, "labels")
    yield at_most("join: slates that no counter explains", abs(panels["join"]["slates_residual"]), 0, "slates")
    injected = panels["truth"]["scenario"]
    yield from _experiments(panels, injected)
    yield from _drift(panels, injected)


def fetch_panels(run: Finished) -> dict[str, Any]:
    """Ask the page for everything that it shows; nothing when it does not answer."""
    port = run.plan.value("monitoring", "port", 18080)
    try:
        with urllib.request.urlopen(f"http://{run.plan.process.host}:{port}/api/snapshot", timeout=30) as answer:
            panels: dict[str, Any] = json.load(answer)["panels"]
    except OSError:
        return {}
    return panels


def _experiments(panels: dict[str, Any], injected: list[dict[str, Any]]) -> Iterator[Bar]:
    tables = {table["experiment"]: table for table in panels["experiments"]}
    lifts = [change for change in injected if change["kind"] == "lift"]
    clicks = _metric(tables.get("demo"), "clicks per slate")
    if lifts and clicks:
        yield _truth("A/B: the injected lift on clicks is called", clicks["called"] and clicks["lift"] > 0)
        arms = panels["truth"]["arms"]
        true_lift = arms["treatment"]["clicks"] / arms["control"]["clicks"] - 1
        inside = clicks["low"] <= true_lift <= clicks["high"]
        yield Bar(
            bar="A/B: estimated lift; its interval holds the true one",
            value=round(clicks["lift"], 4), limit=round(true_lift, 4), holds=inside, unit="share",
        )  # fmt: skip
    standing = tables.get("a-a")
    if standing:
        called = [row["metric"] for row in standing["metrics"] if row["called"]]
        yield at_most("A/A: metrics called", len(called), 0, "metrics")
    broken = [change for change in injected if change["kind"] == "sample_ratio_mismatch"]
    if broken and standing:
        flagged_ms = standing["mismatch_ms"]
        yield _truth(
            "SRM: the injected mismatch is flagged", flagged_ms >= broken[0]["event_time_ms"] // 86_400_000 * 86_400_000
        )
        others = [name for name, table in tables.items() if name != "a-a" and table["mismatch_ms"]]
        yield at_most("SRM: healthy experiments flagged", len(others), 0, "experiments")


def _drift(panels: dict[str, Any], injected: list[dict[str, Any]]) -> Iterator[Bar]:
    drifts = [change for change in injected if change["kind"] == "drift"]
    alarms = panels["quality"]["alarms"]
    if not drifts:
        return
    begun = min(change["event_time_ms"] for change in drifts)
    tasks = {change["task"] for change in drifts}
    early = [alarm for alarm in alarms if alarm["event_time_ms"] < begun]
    right = [alarm for alarm in alarms if alarm["task"] in tasks and alarm["event_time_ms"] >= begun]
    wrong = [alarm for alarm in alarms if alarm["task"] not in tasks]
    yield at_most("drift: alarms before it", len(early), 0, "alarms")
    yield at_most("drift: alarms of other tasks", len(wrong), 0, "alarms")
    yield _truth("drift: the right task's alarm", bool(right))
    if right:
        hours = (min(alarm["event_time_ms"] for alarm in right) - begun) / 3_600_000
        yield at_most("drift: delay of the alarm, event time of the impressions", hours, 36, "h")


def _metric(table: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
    return next((row for row in table["metrics"] if row["metric"] == name), None) if table else None


def _truth(bar: str, holds: bool) -> Bar:
    return Bar(bar=bar, value=float(holds), limit=1.0, holds=holds, unit="bool")
