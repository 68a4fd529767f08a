"""Memory that was used once is used again, and not taken from the kernel anew: counted in page faults."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROUNDS = """
import resource
from streaming.shell.allocator import keep_freed_memory
{set}
def round() -> None:
    [b"x" * 2**20 for _ in range(16)]
round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(setting: str) -> int:
    code = ROUNDS.format(set=setting)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's thresholds")
def test_large_pieces_are_reused() -> None:
    assert faults("keep_freed_memory()") < 100 < faults("")
