"""How much these tests do: a little by default, for CI; as much as the bars ask for when `SPRINGTIDE_CRASH_KILLS` says.

`SPRINGTIDE_CRASH_KILLS=200 SPRINGTIDE_CRASH_SEED=1 pytest tests/integration/streaming` takes half an hour, with
`SPRINGTIDE_CRASH_SECONDS=3600` and pytest's `--timeout 0`.
"""

import os
from typing import Final

KILLS: Final = int(os.environ.get("SPRINGTIDE_CRASH_KILLS", "6"))
"""Random kills (bar 10 asks for 200 over all runs)."""
SEED: Final = int(os.environ.get("SPRINGTIDE_CRASH_SEED", "1"))
SECONDS: Final = float(os.environ.get("SPRINGTIDE_CRASH_SECONDS", "150"))
"""Wall time after which no more random kills come; the run then says how many there were."""
FULL: Final = KILLS >= 50
ROUNDS: Final = 5 if FULL else 2
"""Kills of all processes (bar 11 asks for 5)."""
BROKER_DOWN_S: Final = 60 if FULL else 5
"""Seconds that the broker is gone (bar 13 asks for 60)."""
