"""`python -m tests.unit.streaming.crash_model [SEEDS]`: what goes wrong without each guard, counted."""

import sys

from tests.unit.streaming.crash_model.joiner_story import CRASHES, GUARDS, Guard, one_seed
from tests.unit.streaming.crash_model.verdict import Verdict


def main(seeds: int) -> None:
    """Print the table."""
    print(f"seeds 0 to {seeds - 1}, {CRASHES} crashes each\n")
    print("| without this guard | lost | unexpected | conflicts |\n|---|---|---|---|")
    for name, guard in {"(the protocol as it is)": Guard(), **GUARDS}.items():
        total = Verdict()
        for seed in range(seeds):
            total.add(one_seed(seed, guard.protocol, guard.kind))
        print(f"| {name} | {total.lost} | {total.unexpected} | {total.conflicts} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
