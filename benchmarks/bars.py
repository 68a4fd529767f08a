"""What every benchmark prints: bars with limits, means with spreads, and the same as JSON."""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def bar(name: str, value: float, limit: float, unit: str, *, at_least: bool) -> dict[str, Any]:
    """Say one bar: whether `value` keeps to `limit`."""
    holds = value >= limit if at_least else value <= limit
    return {"bar": name, "value": round(value, 4), "limit": limit, "holds": holds, "unit": unit}


def mean_sd(values: Sequence[float], digits: int = 4) -> str:
    """Return `mean ± standard deviation` of the runs."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {spread:.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def say_bars(bars: Sequence[dict[str, Any]], path: Path | None) -> None:
    """Print a line per bar, and write them to `path` as JSON."""
    for entry in bars:
        mark = "holds" if entry["holds"] else "FAILS"
        sys.stdout.write(f"{mark}  {entry['bar']:<72} {entry['value']:>12} {entry['unit']} (limit {entry['limit']})\n")
    if path:
        path.write_text(json.dumps(list(bars), indent=1, ensure_ascii=False) + "\n")
