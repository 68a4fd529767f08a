"""Where each system runs: Springtide here, a peer in a virtual environment of its own, whose path an option gives."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.model_peers.contest import Setting

OURS: Final = "springtide"
PEERS: Final = ("torch_rechub", "deepctr_torch")
ROOT: Final = Path(__file__).parents[2]
MADE_WITH: Final = "pip install torch==2.13.0 torch-rechub==0.9.0 deepctr-torch==0.3.0 requests"
"""What a peers' environment holds."""


def systems(peers: Path | None) -> dict[str, str]:
    """Return the Python of each system that can run; says so when the peers are absent.

    Args:
        peers: folder of the peers' virtual environment.
    """
    if peers is None:
        sys.stdout.write(f"peers: absent; make an environment ({MADE_WITH}) and give --peers FOLDER\n")
        return {OURS: sys.executable}
    return {OURS: sys.executable} | dict.fromkeys(PEERS, str(peers / "bin" / "python"))


def run(python: str, system: str, arguments: Sequence[str], setting: Setting) -> str:
    """Run one system on one thread; returns the last line that it prints.

    Raises:
        RuntimeError: it failed; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "setting.json"
        path.write_text(json.dumps(dataclasses.asdict(setting)))
        done = subprocess.run(
            [python, "-m", f"benchmarks.model_peers.{system}_run", *arguments, str(path)],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    if done.returncode:
        said = done.stderr[-2000:]
        raise RuntimeError(f"{system}: expected exit 0, got {done.returncode}; see what it said:\n{said}")
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else ""
