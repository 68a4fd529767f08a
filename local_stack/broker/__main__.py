"""`python -m local_stack.broker --config FILE`: prepares the broker, then becomes its Java process.

By turning into Java instead of watching over it, there is no process in between that could die
first, and whoever keeps this process keeps the broker itself.
"""

from __future__ import annotations

import os
import sys

from local_stack.broker.launch import prepare
from local_stack.config import LocalStackConfig
from local_stack.folders import BROKER_FOLDER, cache_folder
from springtide.contracts.errors import SpringtideError
from springtide.runtime.command_line import make_parser
from springtide.runtime.config import KafkaConfig, ProcessConfig
from springtide.runtime.settings import apply_overrides, build_sections, read_profile


def main() -> int:
    """Run the broker in place of this process; return an exit code when it cannot start."""
    given = make_parser("local_stack.broker", "One Kafka node on loopback.").parse_args()
    try:
        values = apply_overrides(read_profile(given.config), os.environ, given.sets)
        kinds = {"process": ProcessConfig, "kafka": KafkaConfig, "local_stack": LocalStackConfig}
        sections = build_sections(values, kinds)
        folder = sections["process"].state_folder.absolute() / BROKER_FOLDER
        launch = prepare(
            sections["local_stack"].broker(sections["kafka"]),
            folder,
            cache_folder(os.environ),
            progress=lambda line: print(line, flush=True),
        )
    except SpringtideError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return os.execv(launch.command[0], launch.command)


if __name__ == "__main__":
    sys.exit(main())
