"""The real logs that replays are held against: where they lie, and slices of them by user."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True, slots=True)
class RealLog:
    """One log, and the slice of it that is quick enough for every run."""

    name: str
    """Name of its mapping in config/replay."""
    file: str
    user_column: int
    time_column: int
    header: bool
    one_user_in: int
    """The slice keeps one user in so many..."""
    hours: float
    """...and this much event time from the first row on."""
    step: str
    """Event time between two ticks of its replay."""
    trigger_every: str
    """Watermark advance between two triggers, as much as suits the log's density; less than the replay's settling."""

    @property
    def mapping(self) -> Path:
        """The file that says which column means what."""
        return ROOT / "config" / "replay" / f"{self.name}.toml"


RETAILROCKET = RealLog(
    name="retailrocket", file="retailrocket-events.csv.gz", user_column=1, time_column=0, header=True, one_user_in=10,
    hours=24 * 30, step="1h", trigger_every="6h",
)  # fmt: skip
TAOBAO = RealLog(
    name="taobao", file="taobao-2h.csv.gz", user_column=0, time_column=4, header=False, one_user_in=12, hours=24,
    step="5m", trigger_every="5m",
)  # fmt: skip


def find_log(log: RealLog) -> Path:
    """Give the log's path, or skip the test where this checkout has no such data beside it."""
    folder = Path(os.environ.get("SPRINGTIDE_DATA", ROOT.parent / "shared" / "data"))
    path = folder / log.file
    if not path.is_file():
        pytest.skip(f"no {log.file} in {folder}; set SPRINGTIDE_DATA to the folder of the real logs")
    return path


def cut_slice(log: RealLog, source: Path, target: Path) -> Path:
    """Write the slice; the whole log with SPRINGTIDE_REPLAY=full. Users are kept or left out whole."""
    if os.environ.get("SPRINGTIDE_REPLAY") == "full":
        return source
    with gzip.open(source, "rt", newline="") as read, target.open("w", newline="") as write:
        rows, out = csv.reader(read), csv.writer(write)
        if log.header:
            out.writerow(next(rows))
        kept = [row for row in rows if zlib.crc32(row[log.user_column].encode()) % log.one_user_in == 0]
        until = min(float(row[log.time_column]) for row in kept) + log.hours * 3600
        out.writerows(row for row in kept if float(row[log.time_column]) < until)
    return target
