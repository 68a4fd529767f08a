"""Logs: one line a person can read on a terminal, one JSON object a line otherwise."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per record; `extra` fields become keys."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Encode one record."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update(_extra(record))
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class HumanFormatter(logging.Formatter):
    """Time, level, process, message, then `extra` fields as key=value."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)-7s {process}: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as a line."""
        extra = _extra(record)
        line = super().format(record)
        return line + "".join(f" {key}={value}" for key, value in extra.items()) if extra else line


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller added; libraries mark what they add to every record by an underscore, as Ray does."""
    return {key: value for key, value in vars(record).items() if key not in _OWN and not key.startswith("_")}


def set_up_logging(process: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every logger's records to `stream` (stderr), and quiet chatty libraries."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(HumanFormatter(process) if target.isatty() else JsonFormatter(process))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for noisy in ("kafka", "aiokafka", "faust", "mode", "asyncio", "uvicorn.access", "httpx"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
