"""What users truly wanted of what was served, against a random and a popularity policy on the same seed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from local_stack.summary import Bar, Finished, at_least
from local_stack.verification.topic_reading import read_topic
from springtide.contracts.codec import truth_decoder
from springtide.contracts.topics import DAY_MS, TRUTH
from springtide.contracts.truth import TruthSlate

BASELINES = ("random", "popularity")
LEAST_OVER = {"random": 1.3, "popularity": 1.1}
"""What counts as clearly above."""


def check_learning(run: Finished) -> Iterator[Bar]:
    """Compare expected clicks and purchases per slate of the story's second half, and its rise."""
    days = served_by_day(run)
    if not days:
        return
    half = [day for day in sorted(days) if day >= len(days) // 2]
    clicks, purchases = _mean(days, half, 0), _mean(days, half, 1)
    for policy, result in play_baselines(run).items():
        rows = {row["day"]: row for row in result["days"]}
        for name, value in (("clicks", clicks), ("purchases", purchases)):
            slates = sum(rows[day]["slates"] for day in half if day in rows)
            base = sum(rows[day][f"expected_{name}_per_slate"] * rows[day]["slates"] for day in half if day in rows)
            ratio = value / (base / slates) if base else 0.0
            yield at_least(
                f"learning: true {name} per slate over {policy}, second half", ratio, LEAST_OVER[policy], "×"
            )
    first = min(days)
    yield at_least("learning: true clicks per slate, second half over first day", clicks / days[first][0], 1.1, "×")


def served_by_day(run: Finished) -> dict[int, tuple[float, float, int]]:
    """Give (true clicks per slate, true purchases per slate, slates) by story day; the lifted arm left out."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    seen: set[str] = set()
    start_ms: int | None = None
    for value in read_topic(run.plan.kafka, TRUTH):
        message = truth_decoder.decode(value)
        if isinstance(message, TruthSlate) and message.request_id not in seen and message.arm != "treatment":
            seen.add(message.request_id)
            start_ms = message.event_time_ms // DAY_MS * DAY_MS if start_ms is None else start_ms
            total = sums[(message.event_time_ms - start_ms) // DAY_MS]
            total[0] += message.expected_clicks
            total[1] += message.expected_purchases
            total[2] += 1
    return {day: (total[0] / total[2], total[1] / total[2], int(total[2])) for day, total in sorted(sums.items())}


def play_baselines(run: Finished) -> dict[str, dict[str, Any]]:
    """Play the same story offline with each baseline policy, side by side."""
    started = {policy: _start(run, policy) for policy in BASELINES}
    return {policy: json.loads(process.communicate()[0]) for policy, process in started.items()}


def _start(run: Finished, policy: str) -> subprocess.Popen[str]:
    sets = [*run.plan.sets, "simulator.mode=offline", f"simulator.policy={policy}"]
    flags = [part for value in sets for part in ("--set", value)]
    command = [sys.executable, "-m", "simulator", "--config", str(run.plan.config_file), *flags]
    return subprocess.Popen(command, cwd=run.plan.workdir, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _mean(days: dict[int, tuple[float, float, int]], chosen: list[int], place: int) -> float:
    slates = sum(days[day][2] for day in chosen)
    return sum(days[day][place] * days[day][2] for day in chosen) / slates
