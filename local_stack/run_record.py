"""Notes in the state folder what runs there, so that a command in another terminal finds it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from local_stack.errors import NotRunningError, from_os_error
from local_stack.folders import state_folder
from local_stack.plan import Plan, make_plan
from local_stack.processes import TABLE

_RECORD = "run.json"
_TOKEN = "token"


def write_record(plan: Plan) -> None:
    """Note how the run was started."""
    names = [process.name for process in plan.processes]
    record = {"config_file": str(plan.config_file), "sets": list(plan.sets), "processes": names}
    try:
        (plan.state / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError as problem:
        raise from_os_error(str(plan.state), problem) from problem


def read_running_plan(environ: Mapping[str, str]) -> Plan:
    """Return the plan of the run whose state lies in this environment's state folder.

    Raises:
        NotRunningError: no run was ever started there.
    """
    path = state_folder(environ) / _RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise NotRunningError(f"{path}: expected a run, got none; start one with `make demo`") from problem
    rows = [row for row in TABLE if row.name in record["processes"]]
    return make_plan(Path(record["config_file"]), record["sets"], environ, rows=rows)


def page_token(state: Path) -> str:
    """Return the token that the page's controls ask for; made once and kept with the state."""
    path = state / _TOKEN
    if not path.exists():
        path.touch(mode=0o600)
        # The letter in front keeps a setting's reader from taking it for a number.
        path.write_text("t" + secrets.token_hex(12), encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()
